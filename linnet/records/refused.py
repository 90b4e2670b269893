"""The quarantine: a sample of requests that the server refused or failed on, a file each.

A file is one line of JSON (`RefusedRequest`) and then the body as it came, which nothing here ever decodes.
Its name begins with the moment, so that names sort as time does.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from pydantic import ValidationError

from linnet.errors import Reason, StorageError
from linnet.records.record import Record
from linnet.storage.files import listed

logger = logging.getLogger(__name__)
RefusalReason = Reason
"""type: no format that is read; size: too many bytes; pixels: too many of them; decode: damaged; shape: JSON,
fields or tensors that are not the model's; key: no right to ask; route: no such model or address; overload:
no room; protocol: not HTTP as it should be; failed: taken, and the model failed on it."""
ABOUT_THE_INPUT = ("type", "size", "pixels", "decode", "shape", "failed")
"""Reasons that say something of what was sent, so that sending it again tells something."""
_SUFFIX = ".refused"


class RefusedRequest(Record):
    """One request that got no prediction."""

    request_id: str
    at: datetime
    model: str
    """Empty: it meant no single one of several."""
    status: int
    reason: RefusalReason
    problem: str
    """As the sender was told."""
    method: str
    path: str
    headers: dict[str, str]
    """Those that say how the body is to be read, and no others: no key, no cookie."""
    size: int
    """Bytes of the body as it came; 0 if none was taken in."""
    kept: bool
    """Whether the whole body is in the quarantine."""


def quarantine_folder(log: Path) -> Path:
    """Where the quarantine of a prediction log lies: beside it."""
    return log.parent / "refused"


def write_refused(folder: Path, request: RefusedRequest, body: bytes, number: int) -> Path:
    """Writes one, whole or not at all; `number` tells those of one process and moment apart."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{request.at:%Y%m%dT%H%M%S%f}-{os.getpid()}-{number:06d}{_SUFFIX}"
    scratch = target.with_suffix(".part")
    scratch.write_bytes(request.model_dump_json().encode() + b"\n" + body)
    scratch.rename(target)
    return target


def refused_files(folder: Path) -> list[Path]:
    """The files of a quarantine, the newest first.

    Raises:
        StorageError: the folder cannot be listed.
    """
    return listed(folder, f"*{_SUFFIX}")[::-1]


def refused_requests(folder: Path) -> Iterator[tuple[RefusedRequest, Path]]:
    """What is in a quarantine, the newest first; a file that cannot be read is told and passed over."""
    try:
        files = refused_files(folder)
    except StorageError as error:
        _tell(f"refused requests are not looked at: {error}")
        return
    for path in files:
        try:
            with path.open("rb") as file:
                request = RefusedRequest.model_validate_json(file.readline())
        except FileNotFoundError:  # it was deleted just now
            continue
        except (OSError, ValidationError) as error:
            _tell(f"{path}: this refused request cannot be read: {str(error).splitlines()[0]}")
            continue
        yield request, path


@lru_cache(1000)
def _tell(problem: str) -> None:
    """Once a process: the console looks every few seconds."""
    logger.warning(problem)


def body_of(path: Path) -> bytes:
    """The body in a file of the quarantine.

    Raises:
        StorageError: it is gone, or damaged.
    """
    try:
        return path.read_bytes().partition(b"\n")[2]
    except OSError as error:
        raise StorageError(f"{path}: the refused request cannot be read ({error})") from error
