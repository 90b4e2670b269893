"""The model in a loop, without a server: bare.py ENGINE PACKAGE SECONDS BATCH prints images a second."""

import os
import sys
import time

import numpy as np

engine, package, seconds, count = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
with np.load(os.path.join(package, "golden.npz")) as golden:
    image, features = golden["images"][:count], golden["features"][:count]
    expected = golden["probabilities"][:count]
if engine == "openvino":
    import openvino

    model = openvino.compile_model(
        os.path.join(package, "model.onnx"), "CPU",
        {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1,
         "INFERENCE_PRECISION_HINT": "f32"},  # else bf16 where the CPU has it, while the others compute fp32
    )  # fmt: skip
    request = model.create_infer_request()
    run = lambda: request.infer({"image": image, "features": features})["probabilities"]  # noqa: E731
else:
    os.environ["BENCH_PACKAGE"] = package
    from model import predict, session

    opened = session()
    run = lambda: predict(opened, image, features)[0]  # noqa: E731
worst = float(np.abs(run() - expected).max())
assert worst < 1e-4, f"{engine} differs by {worst}"
done, start = 0, time.perf_counter()
while time.perf_counter() - start < seconds:
    run()
    done += count
print(done / (time.perf_counter() - start))
