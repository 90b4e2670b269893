"""The public routes, asked over HTTP of a real server process."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from linnet.errors import RequestRejected
from linnet.vision.formats import FORMATS
from tests.serving.packages import expected_probabilities, image_of, make_package
from tests.serving.running import RunningServer, png, running

LIMIT = 20_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("app")
    flags = ("--workers", "1", "--max-body-mb", str(LIMIT / 1e6))
    package = make_package(folder / "package", max_pixels=10_000, max_image_mb=0.015)
    with running(folder, package, "7", *flags) as started:
        yield started


def ask(server: RunningServer, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, Any]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    status, received, content = server.client.request(method, path, body, sent)
    assert received.get("linnet-model-version") == ("7" if "/other" not in path else None)
    return status, json.loads(content)


def infer_body(images: np.ndarray, **more: Any) -> bytes:
    tensor = {
        "name": "image",
        "shape": list(images.shape),
        "datatype": "UINT8",
        "data": images.ravel().tolist(),
    }
    return json.dumps({"inputs": [tensor]} | more).encode()


def test_upload_is_answered_with_three_classes(server: RunningServer) -> None:
    answer = server.client.predict(png(100), request_id="mine-1")
    assert answer["request_id"] == "mine-1" and answer["version"] == "7" and answer["model"] == "tiny"
    assert [p["class"] for p in answer["predictions"]] == ["dim", "bright", "dark"]
    expected = np.sort(expected_probabilities(image_of(100)[None])[0])[::-1][:3]
    assert np.allclose([p["probability"] for p in answer["predictions"]], expected, atol=1e-5)
    assert answer["latency_ms"] > 0


def test_picture_is_refused_where_answers_are_none(server: RunningServer) -> None:
    status, answer = ask(server, "POST", "/predict/tiny", png(100), Accept="image/png")
    assert status == 406 and "the answers of this model are no image/png" in answer["error"]
    assert ask(server, "POST", "/predict/tiny", png(100), Accept="application/json, image/png")[0] == 200
    body, kind = form(("a.png", png(1)), ("b.png", png(2)))
    status, answer = ask(server, "POST", "/predict/tiny", body, Accept="image/png", Content_Type=kind)
    assert status == 406 and "of one image" in answer["error"]


def form(*files: tuple[str, bytes]) -> tuple[bytes, str]:
    sent = httpx.Request("POST", "http://a/", files=[("file", file) for file in files])
    return sent.read(), sent.headers["content-type"]


def counted_as_no_image(server: RunningServer) -> float:
    lines = server.client.metrics().splitlines()
    return sum(float(x.split()[-1]) for x in lines if "validation_failures_total{" in x and '"415"' in x)


def test_form_with_one_file_is_answered_as_the_file_alone(server: RunningServer) -> None:
    body, kind = form(("boot.png", png(100)))
    status, answer = ask(server, "POST", "/predict/tiny", body, content_type=kind, linnet_request_id="one")
    alone = server.client.predict(png(100), request_id="one")
    assert status == 200 and answer["request_id"] == "one"
    assert answer["predictions"] == alone["predictions"]


def test_form_with_several_files_is_answered_file_by_file_and_a_bad_one_hides_none(
    server: RunningServer,
) -> None:
    before = counted_as_no_image(server)
    files = (("a.png", png(100)), ("notes.txt", b"no image"), ("c.png", png(3)))
    body, kind = form(*files)
    status, answer = ask(server, "POST", "/predict", body, content_type=kind, linnet_request_id="many")
    first, text, third = answer["answers"]
    assert status == 200 and answer["request_id"] == "many"
    assert [one["file"] for one in answer["answers"]] == [name for name, _ in files]
    for one, level in ((first, 100), (third, 3)):
        assert one["predictions"] == server.client.predict(png(level))["predictions"]
    assert text["status"] == 415 and "error" in text
    assert [one["request_id"] for one in answer["answers"]] == [f"many-{i}" for i in range(1, 4)]
    assert counted_as_no_image(server) == before + 1
    status, answer = ask(server, "POST", "/predict", b"--b", content_type="multipart/form-data; boundary=b")
    assert status == 400 and "breaks off" in answer["error"]


def test_upload_of_another_size_and_format_is_resized(server: RunningServer) -> None:
    import io

    from PIL import Image

    for kind in (known.plugin for known in FORMATS):
        buffer = io.BytesIO()
        Image.new("RGB", (31, 57), (250, 250, 250)).save(buffer, kind)
        assert server.client.predict(buffer.getvalue())["predictions"][0]["class"] == "white"


@pytest.mark.parametrize(
    ("body", "status", "problem"),
    [
        (b"", 415, "the body is empty"),
        (b"GIF86a" + bytes(50), 415, "the body is not a readable image .PNG, JPEG, WebP"),
        (b"\0\0\0\x18ftypheic" + bytes(50), 415, "HEIC photo"),
        (b"GIF89a" + bytes(50), 400, "not a readable GIF"),
        (png(9)[:40], 400, "not a readable PNG"),
        (png(9, side=101), 413, r"the body: is 101 x 101 pixels .*data\.max_pixels"),
        (
            png(9) + bytes(15_000),
            413,
            r"the body: has 0\.0 MB; at most 0\.015 MB are read .data\.max_image_mb",
        ),
    ],
)
def test_wrong_upload_is_refused(server: RunningServer, body: bytes, status: int, problem: str) -> None:
    with pytest.raises(RequestRejected, match=problem) as caught:
        server.client.predict(body)
    assert caught.value.status == status


def test_request_for_a_model_that_is_not_served_is_not_booked_on_the_only_one(server: RunningServer) -> None:
    status, headers, _ = server.client.request("POST", "/predict/faces", png(8))
    assert status == 404 and "linnet-model" not in headers
    counted = 'linnet_validation_failures_total{model="%s",reason="route",status="404"} 1.0'
    text = server.client.metrics()
    assert counted % "" in text and 'model="tiny",reason="route",status="404"' not in text


def test_health_and_metadata_describe_the_model(server: RunningServer) -> None:
    assert ask(server, "GET", "/v2/health/live") == (200, {"live": True})
    assert ask(server, "GET", "/v2/health/ready") == (200, {"ready": True})
    assert ask(server, "GET", "/v2")[1]["name"] == "linnet"
    assert ask(server, "GET", "/v2/models/tiny/ready") == (200, {"name": "tiny", "ready": True})
    assert ask(server, "GET", "/v2/models/tiny/versions/7/ready")[0] == 200
    status, metadata = ask(server, "GET", "/v2/models/tiny/versions/7")
    assert status == 200 and metadata["versions"] == ["7"]
    image = metadata["inputs"][0]
    assert (image["name"], image["datatype"], image["shape"]) == ("image", "UINT8", [-1, 8, 8, 1])
    rule = image["parameters"]
    assert (rule["fit"], rule["resampling"], rule["antialias"]) == ("squash", "bilinear", True)


@pytest.mark.parametrize("path", ["/v2/models/tiny/infer", "/v2/models/tiny/versions/7/infer"])
def test_infer_answers_a_batch(server: RunningServer, path: str) -> None:
    images = np.stack([image_of(level) for level in (0, 90, 255)])
    status, answer = ask(server, "POST", path, infer_body(images, id="batch"))
    assert status == 200 and answer["id"] == "batch" and answer["model_version"] == "7"
    outputs = {output["name"]: output for output in answer["outputs"]}
    assert outputs["class"]["data"] == ["dark", "dim", "white"]
    probabilities = np.reshape(outputs["probabilities"]["data"], outputs["probabilities"]["shape"])
    assert np.allclose(probabilities, expected_probabilities(images), atol=1e-5)


def test_binary_infer_answers_as_json_does(server: RunningServer) -> None:
    images = np.stack([image_of(level) for level in (20, 200)])
    tensor = {
        "name": "image",
        "shape": [2, 8, 8, 1],
        "datatype": "UINT8",
        "parameters": {"binary_data_size": 128},
    }
    outputs = [{"name": "probabilities", "parameters": {"binary_data": True}}]
    head = json.dumps({"inputs": [tensor], "outputs": outputs}).encode()
    status, headers, content = server.client.request(
        "POST", "/v2/models/tiny/infer", head + images.tobytes(),
        {"Inference-Header-Content-Length": str(len(head))},
    )  # fmt: skip
    length = int(headers["inference-header-content-length"])
    assert status == 200 and json.loads(content[:length])["outputs"][0]["shape"] == [2, 4]
    raw = np.frombuffer(content[length:], "<f4").reshape(2, 4)
    assert np.allclose(raw, expected_probabilities(images), atol=1e-5)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/v2/nothing", 404),
        ("GET", "/v2/models/other", 404),
        ("GET", "/v2/models/tiny/versions/8", 404),
        ("POST", "/v2/models/tiny/versions/8/infer", 404),
        ("GET", "/v2/models/tiny/nothing", 404),
        ("GET", "/predict", 405),
        ("POST", "/metrics", 405),
        ("POST", "/v2", 405),
        ("GET", "/v2/models/tiny/infer", 405),
        ("POST", "/v2/models/tiny/infer", 400),
    ],
)
def test_wrong_route_or_method_is_told(server: RunningServer, method: str, path: str, status: int) -> None:
    found, answer = ask(server, method, path)
    assert found == status and set(answer) == {"error"}


def test_image_of_another_size_is_told_the_size(server: RunningServer) -> None:
    status, answer = ask(
        server, "POST", "/v2/models/tiny/infer", infer_body(np.zeros((1, 9, 8, 1), np.uint8))
    )
    assert status == 400 and "[N, 8, 8, 1]" in answer["error"]


@pytest.mark.parametrize("given", ["", "x" * 129, "a\tb"])
def test_wrong_request_id_is_refused(server: RunningServer, given: str) -> None:
    assert ask(server, "GET", "/v2", Linnet_Request_Id=given)[0] == 400


def test_compressed_body_and_wrong_header_length_are_refused(server: RunningServer) -> None:
    assert ask(server, "POST", "/predict", b"x", Content_Encoding="gzip")[0] == 415
    path = "/v2/models/tiny/infer"
    assert ask(server, "POST", path, b"{}", Inference_Header_Content_Length="-1")[0] == 400


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("size", "status"), [(15_000, 200), (LIMIT + 1, 413), (3 * LIMIT, 413)])
def test_body_limit_is_exact(server: RunningServer, chunked: bool, size: int, status: int) -> None:
    image = png(9)
    content = image + bytes(size - len(image))  # a PNG ends where it says, whatever follows
    host, port = server.state.url.removeprefix("http://").split(":")
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        if chunked:
            parts = [content[i : i + 7_000] for i in range(0, size, 7_000)]
            data = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
            connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n" + data)
        else:
            connection.sendall(head + b"Content-Length: %d\r\n\r\n" % size + content)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 %d" % status)
    assert status == 200 or b"MB, more than 0.02 MB (serving.max_body_mb)" in answer


def test_metrics_count_by_version_and_outcome(server: RunningServer) -> None:
    def value(name: str) -> float:
        lines = [line for line in server.client.metrics().splitlines() if line.startswith(name)]
        return float(lines[0].split()[-1]) if lines else 0.0

    ok = 'linnet_requests_total{model="tiny",outcome="ok",version="7"}'
    wrong = 'linnet_validation_failures_total{model="tiny",reason="type",status="415"}'
    before = value(ok), value(wrong)
    server.client.predict(png(10))
    with pytest.raises(RequestRejected):
        server.client.predict(b"no image")
    assert (value(ok), value(wrong)) == (before[0] + 1, before[1] + 1)
    assert value('linnet_model_loaded{model="tiny",role="champion",version="7"}') == 1
    assert value('linnet_request_seconds_count{model="tiny",version="7"}') >= 1


def test_predict_of_a_missing_file_is_one_sentence(server: RunningServer, tmp_path: Path) -> None:
    from linnet.errors import ServingError

    with pytest.raises(ServingError, match="cannot be read"):
        server.client.predict(tmp_path / "none.png")
