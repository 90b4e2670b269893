"""LitServe with the benchmark's model: PNG in base64, as it takes JSON. Environment as for KServe's."""

import base64
import os

import litserve as ls
from model import decode, predict, session


class Fashion(ls.LitAPI):
    def setup(self, device):
        self.session = session()

    async def decode_request(self, request):
        return decode(base64.b64decode(request["image"]))

    async def predict(self, given):
        return predict(self.session, *given)[0]

    async def encode_response(self, output):
        return {"probabilities": output[0].tolist()}


if __name__ == "__main__":
    server = ls.LitServer(
        Fashion(api_path="/predict", enable_async=True), accelerator="cpu",
        workers_per_device=int(os.environ["BENCH_WORKERS"]),
    )  # fmt: skip
    server.run(
        port=int(os.environ["BENCH_PORT"]), host="127.0.0.1", generate_client_file=False, log_level="error"
    )
