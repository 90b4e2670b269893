"""Datasets at an address: a real web server with and without ranges, and an S3 store, cut off and changed."""

from __future__ import annotations

import functools
import http.server
import io
import socket
import struct
import tarfile
import threading
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from linnet.config import DataConfig, parse_config
from linnet.data.ingest import ingest, source_identity
from linnet.data.init_config import config_for
from linnet.data.remote import bring, is_remote
from linnet.errors import ConfigError, DataError, DatasetUnavailable
from linnet.vision.decode import encode_png


class Site(http.server.SimpleHTTPRequestHandler):
    """A folder with listings, ETags and ranges; it may break off, and it counts the bytes that it sent."""

    ranges, breaks_after, sent = True, None, 0
    asked: list[str] = []  # noqa: RUF012

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            super().do_GET() if self.command == "GET" else super().do_HEAD()
            return
        content, status, first = path.read_bytes(), 200, 0
        given = self.headers.get("Range")
        if given and Site.ranges:
            first, _, last = given.removeprefix("bytes=").partition("-")
            first, status = int(first or 0), 206
            part = content[first : int(last) + 1 if last else None]
        else:
            part = content
        self.send_response(status)
        if Site.ranges:
            self.send_header("Accept-Ranges", "bytes")
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{first + len(part) - 1}/{len(content)}")
        self.send_header("ETag", f'"{hash(content):x}"')
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        if self.command == "HEAD":
            return
        Site.asked.append(self.path)
        if Site.breaks_after is not None and Site.sent + len(part) > Site.breaks_after:
            self.wfile.write(part[: max(0, Site.breaks_after - Site.sent)])
            self.wfile.flush()
            self.connection.close()
            return
        Site.sent += len(part)
        self.wfile.write(part)


@pytest.fixture
def site(photos: Path) -> Iterator[str]:
    """The address of a server of the folder around `photos`."""
    Site.ranges, Site.breaks_after, Site.sent = True, None, 0
    Site.asked.clear()
    handler = functools.partial(Site, directory=str(photos.parent))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a broken connection is the test's own
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LINNET_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_folder_of_a_web_server_is_the_folder_that_it_serves(home: Path, site: str, photos: Path) -> None:
    told: list[tuple[str, int, int]] = []
    copy = bring(f"{site}/photos", lambda *told_now: told.append(told_now))
    assert contents(copy) == contents(photos)
    assert told[-1][1] == told[-1][2] == sum(len(data) for data in contents(photos).values())
    Site.asked.clear()
    bring(f"{site}/photos")
    assert Site.asked == [], "nothing changed: nothing is fetched again"


def test_changed_new_and_removed_files_are_brought_up_to_date(home: Path, site: str, photos: Path) -> None:
    copy = bring(f"{site}/photos")
    files = sorted(photos.rglob("*.png"))
    files[0].write_bytes(files[5].read_bytes() + b"more")
    files[1].unlink()
    (photos / "cat" / "grün #1.png").write_bytes(files[7].read_bytes())
    (copy / files[3].relative_to(photos)).write_bytes(b"a wrong byte on this disk")
    Site.asked.clear()
    assert contents(bring(f"{site}/photos")) == contents(photos)
    assert len(Site.asked) == 3


@pytest.mark.parametrize("how", ["breaks off", "is not there"])
def test_folder_that_cannot_be_listed_is_an_error_and_no_loss(
    home: Path, site: str, photos: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its class was left out without a word, and what had been brought of it was deleted here."""
    before = contents(bring(f"{site}/photos"))

    def refuse(asked: Site, path: str) -> None:
        if not path.rstrip("/").endswith("cat"):
            return http.server.SimpleHTTPRequestHandler.list_directory(asked, path)  # type: ignore[return-value]
        if how == "is not there":
            asked.send_error(404)
        else:  # a connection that is reset in the middle of an answer, as by a proxy
            asked.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            asked.connection.close()
        return None

    monkeypatch.setattr(Site, "list_directory", refuse)
    with pytest.raises(DatasetUnavailable):
        bring(f"{site}/photos")
    monkeypatch.undo()
    monkeypatch.setenv("LINNET_HOME", str(home))
    Site.asked.clear()
    assert contents(bring(f"{site}/photos")) == before and Site.asked == []


@pytest.mark.parametrize("ranges", [True, False])
def test_fetch_that_breaks_off_goes_on_and_ends_with_the_right_bytes(
    home: Path, site: str, photos: Path, ranges: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("linnet.data.remote._BLOCK", 10_000)
    big = photos / "cat" / "big.png"
    big.write_bytes(np.random.default_rng(0).integers(0, 256, 1_000_000, np.uint8).tobytes())
    Site.ranges, Site.breaks_after = ranges, 700_000
    with pytest.raises(DatasetUnavailable) as caught:
        bring(f"{site}/photos")
    assert site in str(caught.value)
    Site.breaks_after, Site.sent = None, 0
    assert contents(bring(f"{site}/photos")) == contents(photos)
    assert not ranges or Site.sent < 900_000, "what had come was not fetched again"


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_archive_is_unpacked_once_and_again_when_it_changed(
    home: Path, site: str, photos: Path, kind: str
) -> None:
    archive = photos.parent / f"pets.{kind}"

    def pack() -> None:
        if kind == "zip":
            with zipfile.ZipFile(archive, "w") as opened:
                for path in photos.rglob("*.png"):
                    opened.write(path, path.relative_to(photos.parent))
        else:
            with tarfile.open(archive, "w:gz") as packed:
                packed.add(photos, "photos")

    pack()
    folder = bring(f"{site}/pets.{kind}")
    assert contents(folder / "photos") == contents(photos)
    next(photos.rglob("*.png")).unlink()
    pack()
    assert contents(bring(f"{site}/pets.{kind}") / "photos") == contents(photos)


def test_archive_that_leads_out_of_its_folder_writes_nothing_outside(
    home: Path, site: str, photos: Path
) -> None:
    with tarfile.open(photos.parent / "evil.tar", "w") as packed:
        entry = tarfile.TarInfo("../../../evil.txt")
        entry.size = 4
        packed.addfile(entry, io.BytesIO(b"evil"))
    with pytest.raises(DataError, match="cannot be unpacked"):
        bring(f"{site}/evil.tar")
    with zipfile.ZipFile(photos.parent / "evil.zip", "w") as opened:
        opened.writestr("../../../evil.txt", "evil")
    bring(f"{site}/evil.zip")
    assert all("unpacked" in path.parts for path in photos.parent.rglob("evil.txt"))


def test_config_with_an_address_is_written_ingested_and_known(
    home: Path, site: str, photos: Path, tmp_path: Path
) -> None:
    made = config_for("pets", f"{site}/photos")
    assert f'location = "{site}/photos"' in made.text
    config = parse_config(tomllib.loads(made.text)).data
    manifest = ingest(config, "pets", tmp_path / "out")
    assert manifest.rows == 120
    assert (
        manifest.digest
        == source_identity(config)
        == source_identity(config.model_copy(update={"location": str(photos)}))
    ), "where it lies does not change what it is"


def test_table_at_an_address_brings_its_images(home: Path, site: str, photos: Path) -> None:
    rows = [f"{path.relative_to(photos)},{path.parent.name}" for path in sorted(photos.rglob("*.png"))]
    (photos / "labels.csv").write_text("\n".join(["path,label", *rows]))
    made = config_for("pets", f"{site}/photos/labels.csv")
    assert 'kind = "manifest"' in made.text and f'location = "{site}/photos/labels.csv"' in made.text


@pytest.mark.parametrize("path", ["nothing", "nothing.zip"])
def test_address_that_holds_nothing_is_one_clear_error(home: Path, site: str, path: str) -> None:
    with pytest.raises(DatasetUnavailable, match=f"{site}/{path}"):
        bring(f"{site}/{path}")
    with pytest.raises(DatasetUnavailable):
        bring("http://127.0.0.1:9/photos")


def test_metadata_service_is_no_dataset() -> None:
    with pytest.raises(ConfigError, match="metadata"):
        DataConfig.parse({"location": "http://169.254.169.254/latest"}, "data")
    assert is_remote("s3://bucket/photos") and is_remote("gs://bucket") and not is_remote("photos/s3")


class S3(http.server.BaseHTTPRequestHandler):
    """What obstore asks of a store: a listing page by page, and objects by range (S3's REST API)."""

    objects: dict[str, bytes] = {}  # noqa: RUF012
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        from urllib.parse import parse_qs, unquote, urlsplit
        from xml.sax.saxutils import escape

        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        if "list-type" in query:
            prefix = query.get("prefix", [""])[0]
            keys = sorted(key for key in S3.objects if key.startswith(prefix))
            after = query.get("continuation-token", [""])[0]
            page = [key for key in keys if key > after][:50]
            more = page and page[-1] != keys[-1]
            rows = "".join(
                f"<Contents><Key>{escape(key)}</Key><Size>{len(S3.objects[key])}</Size>"
                f"<LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>{hash(S3.objects[key]):x}</ETag></Contents>"
                for key in page
            )
            token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
            truncated = f"<IsTruncated>{str(bool(more)).lower()}</IsTruncated>"
            body = f"<ListBucketResult><Name>b</Name>{rows}{truncated}{token}</ListBucketResult>"
            self._answer(200, body.encode(), Content_Type="application/xml")
            return
        key = unquote(parts.path).lstrip("/").partition("/")[2]
        if key not in S3.objects:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        content, status, more_headers = S3.objects[key], 200, {}
        if given := self.headers.get("Range"):
            first, _, last = given.removeprefix("bytes=").partition("-")
            part = content[int(first) : int(last) + 1 if last else None]
            more_headers["Content_Range"] = f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}"
            content, status = part, 206
        stamp = "Thu, 01 Jan 2026 00:00:00 GMT"
        self._answer(
            status, content, ETag=f'"{hash(S3.objects[key]):x}"', Last_Modified=stamp, **more_headers
        )


@pytest.mark.parametrize("credentials", [{"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}, {}])
def test_prefix_of_an_object_store_is_brought_and_kept_up_to_date(
    credentials: dict[str, str], home: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in of S3's REST API, in pages of 50; the real client (obstore) speaks to it, also as nobody."""
    S3.objects = {f"pets/{name}": data for name, data in contents(photos).items()}
    S3.objects["other/1.png"] = b"not ours"
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), S3)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_REGION": "eu-central-1",
        **credentials,
    }.items():
        monkeypatch.setenv(name, value)
    try:
        copy = bring("s3://bucket/pets")
        assert contents(copy) == contents(photos)
        S3.objects["pets/cat/new.png"] = encode_png(np.zeros((8, 8, 1), np.uint8))
        del S3.objects[f"pets/{next(iter(contents(photos)))}"]
        assert set(contents(bring("s3://bucket/pets"))) == {
            name.removeprefix("pets/") for name in S3.objects if name.startswith("pets/")
        }
        with pytest.raises(
            DatasetUnavailable, match=r"s3://bucket/nothing.*nothing at this address.*check the address"
        ):
            bring("s3://bucket/nothing")
    finally:
        server.shutdown()
        server.server_close()
