"""Small raw datasets that tests write, and the real one, fetched through the product."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from linnet.data.fetch import fetch
from linnet.data.version import listing_digest
from linnet.errors import DatasetUnavailable
from linnet.vision.decode import encode_png

REPOSITORY = Path(__file__).resolve().parents[2]

Files = dict[str, bytes]


@pytest.fixture
def files() -> Files:
    return {"a.bin": b"first" * 400, "deep/b.bin": bytes(range(256)) * 8}


@pytest.fixture
def write_dvc() -> Callable[..., Path]:
    """Writes a `.dvc` file, as DVC does, naming `files` as a folder under the state folder."""

    def write(
        path: Path, files: Files, wdir: str = ".linnet/data", listed: bool = True, **origins: Any
    ) -> Path:
        digests = {name: hashlib.md5(data).hexdigest() for name, data in files.items()}
        out = {
            "path": "toy",
            "md5": listing_digest(digests),
            "hash": "md5",
            "size": sum(map(len, files.values())),
            "nfiles": len(files),
        }
        rows = [
            {
                "relpath": name,
                "size": len(data),
                "md5": digests[name],
                "sha256": hashlib.sha256(data).hexdigest(),
            }
            for name, data in files.items()
        ]
        meta = {"linnet": {**({"files": rows} if listed else {}), **origins}}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump({"outs": [out], "wdir": wdir, "meta": meta}))
        return path

    return write


def put(folder: Path, files: Files, packed: bool = False) -> Path:
    for name, data in files.items():
        path = folder / (name + ".gz" if packed else name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(data) if packed else data)
    return folder


@pytest.fixture
def put_files() -> Callable[..., Path]:
    return put


@pytest.fixture
def serve() -> Iterator[Callable[[Path], str]]:
    """Serves a folder over HTTP on this machine and gives the address."""
    servers: list[http.server.ThreadingHTTPServer] = []

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    def start(folder: Path) -> str:
        handler = partial(Quiet, directory=str(folder))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def git() -> Callable[..., str]:
    def run(folder: Path, *words: str) -> str:
        identity = ["-c", "user.name=Tester", "-c", "user.email=tester@example.org"]
        done = subprocess.run(
            ["git", *identity, *words], cwd=folder, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    return run


@pytest.fixture(scope="session")
def fashion_mnist() -> Path:
    """The real raw files, in the repository's own state folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LINNET_HOME", str(REPOSITORY / ".linnet"))
        try:
            return fetch(REPOSITORY / "data.dvc")
        except DatasetUnavailable as error:
            pytest.skip(f"no source has Fashion-MNIST: {error}")


@pytest.fixture
def picture() -> Callable[..., bytes]:
    """PNG bytes of a noise image; the same seed and size give the same pixels."""

    def draw(seed: int, height: int = 8, width: int = 8, channels: int = 1) -> bytes:
        shape = (height, width, channels)
        return encode_png(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))

    return draw


@pytest.fixture
def photos(tmp_path: Path, picture: Callable[..., bytes]) -> Path:
    """A folder of images: classes cat and dog, 60 images each."""
    root = tmp_path / "photos"
    for number in range(120):
        path = root / ("cat" if number % 2 else "dog") / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number))
    return root


@pytest.fixture
def write_idx() -> Callable[..., Path]:
    """Writes the four IDX files of a small dataset."""

    def header(array: Any) -> bytes:
        return bytes((0, 0, 8, array.ndim)) + b"".join(int(n).to_bytes(4, "big") for n in array.shape)

    def write(folder: Path, parts: dict[str, tuple[Any, Any]]) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for prefix, (images, labels) in parts.items():
            for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
                (folder / f"{prefix}-{kind}-ubyte").write_bytes(header(array) + array.tobytes())
        return folder

    return write
