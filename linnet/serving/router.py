"""Who answers a request: a pure, immutable routing table. The fleet swaps whole tables atomically."""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict, dataclass
from typing import Any

from linnet.errors import RequestRejected

_VERSION = re.compile(r"[A-Za-z0-9._-]{1,64}")
_FIELDS = {"champion", "candidate", "percent", "mirror"}


@dataclass(frozen=True, slots=True)
class RoutingDecision:
    """The version that answers, and the one that gets a copy after the answer (None: no copy)."""

    version: str
    mirror: str | None


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """`percent` of requests go to the candidate; a `mirror` share also runs on the other version.

    Without a champion (a first release) every request goes to the candidate, whatever `percent`
    says: there is nothing else that could answer. Without a candidate the champion answers all.
    """

    champion: str | None = None
    candidate: str | None = None
    percent: float = 0.0
    mirror: float = 0.0

    @classmethod
    def parse(cls, values: Any) -> RoutingTable:
        """Builds a table from JSON values; fields that are left out have their defaults.

        Raises:
            RequestRejected: 400, an unknown field, a wrong type, or a share out of range.
        """
        if not isinstance(values, dict) or not set(values) <= _FIELDS:
            raise RequestRejected(400, f"routes must be a JSON object with the fields {sorted(_FIELDS)}")
        for field in ("champion", "candidate"):
            version = values.get(field)
            if version is not None and not (isinstance(version, str) and version):
                raise RequestRejected(400, f"{field}: must be a version or null, not {version!r}")
        if values.get("champion") is not None and values.get("champion") == values.get("candidate"):
            raise RequestRejected(400, "candidate: is the champion already; name another version or null")
        percent, mirror = _share(values, "percent", 100.0), _share(values, "mirror", 1.0)
        return cls(values.get("champion"), values.get("candidate"), percent, mirror)

    def values(self) -> dict[str, Any]:
        """The table as JSON values."""
        return asdict(self)

    @property
    def versions(self) -> tuple[str, ...]:
        """The versions that the table names."""
        return tuple(version for version in (self.champion, self.candidate) if version is not None)

    def choose(self, key: str | None, draw: float, mirror_draw: float) -> RoutingDecision:
        """Chooses for one request; `draw` and `mirror_draw` are uniform in [0, 1).

        A `key` makes the choice sticky: the same key meets the same version while the candidate
        stays the same, and keeps the candidate when `percent` rises.

        Raises:
            RequestRejected: 503, no version is routed.
        """
        first, second = self.champion, self.candidate
        if first is None or second is None:
            only = first or second
            if only is None:
                raise RequestRejected(503, "no model version is routed yet; try again later")
            return RoutingDecision(only, None)
        if key is not None:
            draw = sticky_draw(key, second)
        chosen, other = (second, first) if draw * 100.0 < self.percent else (first, second)
        return RoutingDecision(chosen, other if mirror_draw < self.mirror else None)


def check_version(version: str) -> None:
    """Whether a version may stand in headers, addresses and labels.

    Raises:
        RequestRejected: 400, it may not.
    """
    if not _VERSION.fullmatch(version):
        raise RequestRejected(
            400, f"version {version!r:.80} must be 1 to 64 letters, digits, dots, dashes and underscores"
        )


def sticky_draw(key: str, candidate: str) -> float:
    """A number in [0, 1) that depends on nothing but the key and the candidate's version.

    The candidate is part of it so that each release tries its luck on other people.
    """
    digest = hashlib.blake2b(f"{candidate}\0{key}".encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big") / float(1 << 56)


def _share(values: dict[str, Any], field: str, top: float) -> float:
    value = values.get(field, 0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= top:
        raise RequestRejected(400, f"{field}: must be a number from 0 to {top:g}, not {value!r}")
    return float(value)
