"""What an importer names elsewhere, brought to this machine: `.linnet/imports`.

On a cluster the launcher of a task brings its inputs to /gcs, /s3 and so on, where the SDK's artifacts look
for them. Here the importer does it, once: a folder named by the digest of what came holds it, and an index
remembers what an address held when, so that what did not change is not fetched again.

    index/ADDRESS.json   what was at an address (sizes, entity tags), and in which folder it lies
    DIGEST/NAME          the file or folder
    staging/             what is being fetched; a folder appears by one rename when all is there

Addresses are those of fsspec; s3://, gs:// and az:// by obstore, which is installed with Linnet. Credentials
and endpoints come from the environment (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, GOOGLE_APPLICATION_CREDENTIALS,
...); a public bucket needs none. oci:// is a model image (a "modelcar"), whose folder /models is taken:
podman or docker fetches it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from linnet.cache.digest import tree_digest, value_digest
from linnet.cache.memo import Memo
from linnet.config import ContainerSetting
from linnet.errors import RunError
from linnet.runner import containers
from linnet.runner.sweep import IMPORTS
from linnet.storage.files import shown_url, write_text
from linnet.storage.object_store import files_below, first_answer
from linnet.storage.paths import state_dir

_OBJECT_STORES = {"s3": "s3", "minio": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "abfs"}
"""Schemes that obstore knows, and under which name."""
_MARKS = ("ETag", "etag", "e_tag", "Last-Modified", "last_modified", "LastModified", "mtime", "generation")
"""What tells one content at an address from another, as the file systems of fsspec name it."""
_PACKAGES = {"hf": "huggingface_hub", "abfs": "adlfs", "ssh": "paramiko", "sftp": "paramiko"}
_TOLD_EVERY_SECONDS = 2.0
MODELS = "models"
"""The folder of a model image."""


def is_remote(uri: str) -> bool:
    """Whether an address is not a path of this machine."""
    return "://" in uri and not uri.startswith("file://")


def local_path(uri: str) -> Path:
    """The path of an address that is not remote."""
    return Path(uri.removeprefix("file://"))


def path_in_task(uri: str) -> str:
    """Where the SDK's artifacts look for an address (kfp.dsl.types.artifact_types); empty: at the address."""
    for scheme, root in (("gs://", "/gcs"), ("s3://", "/s3"), ("minio://", "/minio")):
        if uri.startswith(scheme):
            return str(PurePosixPath(root) / uri.removeprefix(scheme))
    if uri.startswith("oci://"):
        return f"/oci/{uri.removeprefix('oci://').replace('/', '_')}"
    return ""


def path_in_container(uri: str) -> str:
    """Where a container finds what has an address (LocalPathForURI in launcher_v2.go)."""
    path = path_in_task(uri) or uri
    return f"{path}/{MODELS}" if uri.startswith("oci://") else path


def refusal_of(uri: str, setting: ContainerSetting) -> str:
    """Why nothing can ever be fetched from such an address here, and what to do; empty: it may be tried."""
    scheme = uri.partition("://")[0]
    if not is_remote(uri):
        return ""
    if scheme == "oci":
        return containers.refusal_of(uri.removeprefix("oci://"), "auto" if setting == "process" else setting)
    try:
        if scheme not in _OBJECT_STORES:
            _file_system(uri)
    except ImportError as error:
        package = _PACKAGES.get(scheme)
        remedy = f": pip install {package}" if package else f" ({error})"
        return f"{shown_url(uri)} needs a package that is not installed here{remedy}"
    except ValueError:
        return f"{shown_url(uri)}: nobody here knows addresses of the kind {scheme}://"
    except Exception as error:  # noqa: BLE001  a file system may want credentials as soon as it is made
        return f"{shown_url(uri)} cannot be reached: {_one_line(error)}"
    return ""


def known(uri: str) -> Path | None:
    """What was fetched from an address before, without asking whether that changed."""
    told = _index(uri)
    return _kept(told) if told else None


def fetch(uri: str, setting: ContainerSetting) -> Path:
    """Brings what an address names to this machine, unless it is here as it is there.

    Raises:
        RunError: it cannot be had; it says why.
    """
    if uri.startswith("oci://"):
        return _fetch_image(uri, setting)
    if why := refusal_of(uri, setting):
        raise RunError(why)
    try:
        system, path, files = _found(uri)
        if not files:
            raise FileNotFoundError(path)
        marks = _marks(files)
        told = _index(uri)
        if told and marks and told["marks"] == marks and (found := _kept(told)) is not None:
            print(f"{shown_url(uri)} is here as it is there", flush=True)
            return found
        with _staging(uri, marks) as target:
            _download(system, path, files, target)
    except FileNotFoundError as error:
        raise RunError(f"there is nothing at {shown_url(uri)}") from error
    except RunError:
        raise
    except Exception as error:
        raise RunError(f"{shown_url(uri)} cannot be fetched: {_one_line(error)}") from error
    kept = known(uri)
    assert kept is not None
    return kept


def _found(uri: str) -> tuple[Any, str, dict[str, Mapping[str, Any]]]:
    """The file system of an address, the address in it, and what is known of each file there."""
    scheme, _, rest = uri.partition("://")
    if scheme in _OBJECT_STORES:
        path = rest.rstrip("/")
        system, files = first_answer(_OBJECT_STORES[scheme], lambda system: _listed(system, path))
        return system, path, files
    system, path = _file_system(uri)
    return system, path, _listed(system, path)


def _file_system(uri: str) -> tuple[Any, str]:
    """The file system of an address that is in no object store, and the address in it.

    Raises:
        ImportError: a package for it is missing.
        ValueError: the scheme is unknown.
    """
    import fsspec

    system, path = fsspec.core.url_to_fs(uri)
    return system, str(path)


def _listed(system: Any, path: str) -> dict[str, Mapping[str, Any]]:
    """What is known of each file at a path, by its own path."""
    with contextlib.suppress(FileNotFoundError):
        about = system.info(path)
        if about["type"] == "file":
            return {path: about}
    found = files_below(system, path)
    return {name: about for name, about in found.items() if about["type"] == "file"}


def _marks(files: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """What tells today's contents from others, by file; nothing where a file has no such mark."""
    found = {}
    for name, about in files.items():
        marks = [f"{key}={about[key]}" for key in _MARKS if about.get(key)]
        if not marks:
            return {}
        found[name] = " ".join([str(about.get("size")), *marks])
    return found


def _download(system: Any, path: str, files: Mapping[str, Mapping[str, Any]], target: Path) -> None:
    sizes = [about.get("size") for about in files.values()]
    total = sum(size for size in sizes if size)
    progress = _Progress(total)
    for name in files:
        place = target / name.removeprefix(path).lstrip("/")
        if not place.resolve().is_relative_to(target.resolve()):
            raise RunError(f"{name!r} leads out of the folder that it is in")
        place.parent.mkdir(parents=True, exist_ok=True)
        system.get_file(name, str(place))
        progress.add(place.stat().st_size)


class _Progress:
    """Says now and then how far a download is."""

    def __init__(self, total: int) -> None:
        self._total, self._done, self._told = total, 0, time.monotonic()

    def add(self, size: int) -> None:
        self._done += size
        if time.monotonic() - self._told > _TOLD_EVERY_SECONDS or self._done >= self._total:
            self._told = time.monotonic()
            print(f"fetched {self._done / 1e6:,.1f} of {self._total / 1e6:,.1f} MB", flush=True)


def _fetch_image(uri: str, setting: ContainerSetting) -> Path:
    """The folder `models` of an image, in a folder."""
    image = uri.removeprefix("oci://")
    runtime = containers.find("auto" if setting == "process" else setting)
    runtime.need(image)
    marks = {"": runtime.image_id(image)}
    told = _index(uri)
    if told and told["marks"] == marks and (found := _kept(told)) is not None:
        return found
    with _staging(uri, marks) as target:
        target.mkdir()
        runtime.copy_from(image, f"/{MODELS}", target)
    kept = known(uri)
    assert kept is not None
    return kept


@contextlib.contextmanager
def _staging(uri: str, marks: Mapping[str, str]) -> Iterator[Path]:
    """Where to put what is at an address; it is kept, and the index knows it, when that went well."""
    staging = _store() / "staging" / f"{os.getpid()}-{uuid.uuid4().hex}"
    staging.mkdir(parents=True)
    name = PurePosixPath(uri.partition("://")[2].partition("?")[0]).name or "content"
    try:
        yield staging / name
        digest = tree_digest(staging / name)
        folder = _store() / value_digest([name, digest])[:32]
        if (folder / name).exists() and _digest(folder / name) != digest:
            with contextlib.suppress(OSError):  # another was faster
                folder.rename(staging.with_name(f"{staging.name}-spoilt"))
        with contextlib.suppress(OSError):  # the same is here already
            staging.rename(folder)
        about = {"uri": shown_url(uri), "marks": dict(marks), "folder": folder.name, "name": name}
        write_text(_index_file(uri), json.dumps({**about, "digest": digest}))
    finally:
        for left in (staging, staging.with_name(f"{staging.name}-spoilt")):
            shutil.rmtree(left, ignore_errors=True)


def _digest(path: Path) -> str:
    return tree_digest(path, Memo(state_dir() / "cache" / "memo"))


def _store() -> Path:
    return state_dir() / IMPORTS


def _index_file(uri: str) -> Path:
    return _store() / "index" / f"{value_digest(uri)[:32]}.json"


def _index(uri: str) -> dict[str, Any] | None:
    try:
        told: dict[str, Any] = json.loads(_index_file(uri).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return told


def _kept(told: Mapping[str, Any]) -> Path | None:
    """What the index speaks of, if it is here with the bytes that came; it is used now.

    A task may have written to what it was given: the next run gets what the address holds, as on a cluster.
    """
    found = _store() / str(told["folder"]) / str(told["name"])
    if not found.exists() or _digest(found) != told.get("digest"):
        return None
    os.utime(found.parent)
    return found


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
