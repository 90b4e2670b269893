"""What a request's bytes and headers say before anything is decoded."""

from __future__ import annotations

import math
from collections.abc import Mapping

from linnet.errors import RequestRejected

_SOON_PIXELS = 256 * 256
_SOON_BYTES = 32_768
PNG = "image/png"
ENTITY_HEADER, TIMEOUT_HEADER = "linnet-entity", "linnet-timeout"


def decodes_soon(data: bytes) -> bool:
    """Whether decoding an image takes well under a millisecond or two, judged by its first bytes.

    Only a PNG, which states its size, and a small JPEG, which needs bytes for its blocks: in the other
    formats a few bytes may be megapixels of one color.
    """
    if len(data) > _SOON_BYTES:
        return False
    if data.startswith(b"\x89PNG\r\n\x1a\n") and len(data) >= 24:
        width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
        return width * height <= _SOON_PIXELS
    return data.startswith(b"\xff\xd8\xff") and len(data) <= _SOON_BYTES // 4


def wants_picture(headers: Mapping[str, str]) -> bool:
    """Whether an answer as a PNG is asked for: `Accept` names it first."""
    return headers.get("accept", "").split(",")[0].split(";")[0].strip().lower() == PNG


def entity_of(headers: dict[str, str]) -> dict[str, str]:
    """Entity keys for an online look-up of features: the header `Linnet-Entity: name=value, name=value`.

    Raises:
        RequestRejected: 400, it is not written so.
    """
    given = headers.get(ENTITY_HEADER)
    return {} if given is None else named_values(given, "Linnet-Entity")


def named_values(given: str, header: str) -> dict[str, str]:
    """A header of the form `name=value, name=value`.

    Raises:
        RequestRejected: 400, it is not written so.
    """
    keys: dict[str, str] = {}
    for part in given.split(","):
        name, equals, value = part.strip().partition("=")
        if not (equals and name.isidentifier() and value) or name in keys or len(value) > 256:
            raise RequestRejected(400, f"{header}: must be name=value, name=value, not {given!r:.80}")
        keys[name] = value
    return keys


def seconds_of(headers: dict[str, str]) -> float | None:
    """How long the request may wait to be computed: the header `Linnet-Timeout`, in seconds.

    Raises:
        RequestRejected: 400, it is not a number above 0.
    """
    given = headers.get(TIMEOUT_HEADER)
    if given is None:
        return None
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise RequestRejected(400, f"Linnet-Timeout: must be a number of seconds above 0, not {given!r:.80}")
    return seconds
