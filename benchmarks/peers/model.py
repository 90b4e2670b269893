"""The model of the benchmark as the other servers run it: the same file, the same work a request."""

import io
import os

import numpy as np
import onnxruntime


def session():
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    path = os.path.join(os.environ["BENCH_PACKAGE"], "model.onnx")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def predict(model, image, features):
    return model.run(["probabilities", "embedding"], {"image": image, "features": features})


def decode(data):
    """A PNG of the model's size, and the features that Linnet's server computes for it too."""
    from PIL import Image
    from statistics_of_images import image_statistics

    with Image.open(io.BytesIO(data), formats=["PNG"]) as opened:
        image = np.asarray(opened)[None, :, :, None]
    return image, image_statistics(image)
