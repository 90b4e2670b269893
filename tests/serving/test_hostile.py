"""Hostile input: mutated images in the decoder and through HTTP, bombs, endless senders."""

from __future__ import annotations

import io
import json
import resource
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from linnet.artifacts.onnx_model import PackagedModel
from linnet.errors import RequestRejected
from linnet.serving.predictor import Predictor
from linnet.serving.upload import decodes_soon
from linnet.vision.formats import FORMATS
from tests.serving.packages import make_package
from tests.serving.running import RunningServer, png, running

PIXELS = 10_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("hostile")
    flags = ("--config-json", '{"read_timeout_seconds": 2.0}')
    with running(folder, make_package(folder / "package", max_pixels=PIXELS), "1", *flags) as started:
        yield started


def seeds() -> list[bytes]:
    """Valid images of all formats."""
    rng = np.random.default_rng(0)
    found = []
    for kind in (known.plugin for known in FORMATS):
        options = {"quality": 60} if kind in ("JPEG", "WEBP", "AVIF") else {}
        buffer = io.BytesIO()
        pixels = rng.integers(0, 256, (24, 24, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(buffer, kind, **options)
        found.append(buffer.getvalue())
    return found


def mutated(count: int) -> Iterator[bytes]:
    """`count` damaged images: flipped, cut, doubled, overwritten and spliced bytes."""
    rng = np.random.default_rng(1)
    known = seeds()
    for number in range(count):
        image = bytearray(known[number % len(known)])
        for _ in range(int(rng.integers(1, 6))):
            at, kind = int(rng.integers(len(image))), int(rng.integers(6))
            if kind == 0:
                image[at] ^= 1 << int(rng.integers(8))
            elif kind == 1:
                image[at] = int(rng.choice([0, 1, 127, 128, 255]))
            elif kind == 2:
                del image[at : at + int(rng.integers(1, 16))]
            elif kind == 3:
                image[at:at] = image[at : at + int(rng.integers(1, 64))]
            elif kind == 4:
                image[at : at + 4] = rng.bytes(4)
            else:
                other = known[int(rng.integers(len(known)))]
                image[at:] = other[at:]
            if not image:
                image = bytearray(b"\0")
        yield bytes(image)


@pytest.mark.slow
@pytest.mark.parametrize("count", [20_000, pytest.param(100_000, marks=pytest.mark.proof)])
def test_mutated_images_are_decoded_or_refused_and_nothing_else(tmp_path: Path, count: int) -> None:
    predictor = Predictor("1", PackagedModel.load(make_package(tmp_path / "package", max_pixels=PIXELS), 1))
    refused, before = 0, 0
    for number, image in enumerate(mutated(count)):
        if number == 2_000:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            pixels = predictor.image_of(image)
            assert pixels.shape == (1, 8, 8, 1) and pixels.dtype == np.uint8
        except RequestRejected as error:
            assert error.status in (400, 413, 415)
            refused += 1
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 64, f"memory grew by {grown:.0f} MB"
    assert 0.1 * count < refused < count, "the mutations are too weak or too strong to prove anything"


def test_mutated_images_over_http_are_never_a_server_error(server: RunningServer) -> None:
    found = {}
    for image in mutated(600):
        status = server.client.request("POST", "/predict", image)[0]
        found[status] = found.get(status, 0) + 1
    assert {200, 400, 415} <= set(found) <= {200, 400, 413, 415}, found


def test_every_truncation_of_an_image_is_refused_or_answered(server: RunningServer) -> None:
    for image in seeds():
        for end in range(0, len(image), max(1, len(image) // 40)):
            assert server.client.request("POST", "/predict", image[:end])[0] in (200, 400, 415)


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few kilobytes that says that it is `width` x `height` pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes((width + 1) * min(height, 2_000)), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(101, 100), (20_000, 20_000), (2**31 - 1, 2**31 - 1)])
def test_bomb_is_refused_before_it_is_decoded(server: RunningServer, width: int, height: int) -> None:
    image = bomb(min(width, 20_000), height) if width < 2**31 - 1 else bomb(1, 1).replace(
        struct.pack(">II", 1, 1), struct.pack(">II", width, height)
    )  # fmt: skip
    status, _, content = server.client.request("POST", "/predict", image)
    error = json.loads(content)["error"]
    damaged = width == 2**31 - 1  # its checksum is that of another header
    assert (status, "data.max_pixels" in error) == ((400, False) if damaged else (413, True))


def test_large_or_webp_images_are_decoded_in_a_thread() -> None:
    small = dict(zip((known.name for known in FORMATS), seeds(), strict=True))
    assert {name for name, image in small.items() if decodes_soon(image)} == {"PNG", "JPEG"}
    assert decodes_soon(small["PNG"]) and not decodes_soon(bomb(2_000, 2_000))
    assert not decodes_soon(bytes(100_000))


@pytest.mark.parametrize(
    ("count", "within"), [(300, 60.0), pytest.param(1000, 10.0, marks=pytest.mark.proof)]
)
def test_trickling_senders_are_cut_off_while_others_are_served(
    server: RunningServer, count: int, within: float
) -> None:
    host, port = server.state.url.removeprefix("http://").split(":")
    slow = [socket.create_connection((host, int(port)), timeout=20) for _ in range(count)]
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n"
    began, answered = time.monotonic(), 0
    for number, connection in enumerate(slow):
        connection.setblocking(False)
        connection.send(head if number % 2 else head[:20])
    open_ones = set(slow)
    while open_ones and time.monotonic() - began < within:
        assert server.client.request("POST", "/predict", png(100))[0] == 200
        answered += 1
        for connection in list(open_ones):
            try:
                connection.send(b"x")  # a byte now and then does not buy more time
                if connection.recv(4096) == b"":
                    open_ones.discard(connection)
            except BlockingIOError:
                pass
            except OSError:
                open_ones.discard(connection)
        time.sleep(0.05)
    print(f"{count} closed after {time.monotonic() - began:.1f} s, {answered} others answered")
    for connection in slow:
        connection.close()
    assert not open_ones, f"{len(open_ones)} are still open"
    assert answered > 5
