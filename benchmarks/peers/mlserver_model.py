"""MLServer's runtime with the benchmark's model; started by `mlserver start FOLDER`."""

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse, MetadataTensor
from model import predict, session


class Fashion(MLModel):
    async def load(self):
        self.session = session()
        self.inputs = [
            MetadataTensor(name="image", datatype="UINT8", shape=[-1, 28, 28, 1]),
            MetadataTensor(name="features", datatype="FP32", shape=[-1, 12]),
        ]
        self.outputs = [
            MetadataTensor(name="probabilities", datatype="FP32", shape=[-1, 10]),
            MetadataTensor(name="embedding", datatype="FP32", shape=[-1, -1]),
        ]
        return True

    async def predict(self, payload):
        given = {one.name: NumpyCodec.decode_input(one) for one in payload.inputs}
        answers = predict(self.session, given["image"], given["features"])
        outputs = [
            NumpyCodec.encode_output(name, values)
            for name, values in zip(("probabilities", "embedding"), answers, strict=True)
        ]
        return InferenceResponse(id=payload.id, model_name=self.name, model_version="1", outputs=outputs)
