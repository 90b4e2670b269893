"""KServe's Python server with the benchmark's model; BENCH_PACKAGE, BENCH_PORT, BENCH_WORKERS are set."""

import os
import uuid

from kserve import InferOutput, InferResponse, Model, ModelServer
from model import predict, session

TENSORS = {"image": ("UINT8", [-1, 28, 28, 1]), "features": ("FP32", [-1, 12])}


class Fashion(Model):
    def __init__(self):
        super().__init__("fashion")
        self.load()

    def __getstate__(self):  # worker processes get a copy, and open a session of their own
        return {key: value for key, value in self.__dict__.items() if key != "session"}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self.load()

    def load(self):
        self.session = session()
        self.ready = True
        return True

    async def get_input_types(self):
        return [{"name": n, "datatype": t, "shape": s} for n, (t, s) in TENSORS.items()]

    async def get_output_types(self):
        shapes = {"probabilities": [-1, 10], "embedding": [-1, -1]}
        return [{"name": n, "datatype": "FP32", "shape": s} for n, s in shapes.items()]

    async def predict(self, payload, headers=None, response_headers=None):
        given = {one.name: one.as_numpy() for one in payload.inputs}
        answers = predict(self.session, given["image"], given["features"])
        outputs = []
        for name, values in zip(("probabilities", "embedding"), answers, strict=True):
            output = InferOutput(name=name, shape=list(values.shape), datatype="FP32")
            output.set_data_from_numpy(values, binary_data=True)
            outputs.append(output)
        return InferResponse(payload.id or uuid.uuid4().hex, self.name, outputs)


if __name__ == "__main__":
    ModelServer(
        http_port=int(os.environ["BENCH_PORT"]), workers=int(os.environ["BENCH_WORKERS"]), enable_grpc=False,
        access_log_format=None,
    ).start([Fashion()])  # fmt: skip
