"""The loaded versions and the routing table: one immutable snapshot, replaced in one assignment.

A request takes the snapshot once and keeps its predictor to the end, so a swap or an unload never
touches a request in flight.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from linnet.errors import RequestRejected
from linnet.serving.predictor import Predictor
from linnet.serving.router import RoutingTable

_VERSION = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is loaded and how it is routed, at one moment."""

    predictors: Mapping[str, Predictor] = field(default_factory=lambda: MappingProxyType({}))
    table: RoutingTable = field(default_factory=RoutingTable)

    @property
    def leading(self) -> str:
        """The version to name where no version was chosen: the champion, or else the candidate."""
        return self.table.champion or self.table.candidate or "none"


class Fleet:
    """Loads, unloads and routes versions; changes are serialised, readers never wait."""

    def __init__(self, threads: int = 0) -> None:
        self.snapshot = Snapshot()
        self._threads = threads
        self._changing = threading.Lock()

    def load(self, version: str, folder: Path) -> Predictor:
        """Loads and warms up a version beside those that serve; loading the same package again is free.

        Raises:
            ServingError: the package cannot be served.
            RequestRejected: 400, not a version; 409, the version serves already, from another package.
        """
        if not _VERSION.fullmatch(version):  # it goes into a header, addresses and labels
            raise RequestRejected(
                400, f"version {version!r:.80} must be 1 to 64 letters, digits, dots, dashes and underscores"
            )
        predictor = Predictor.load(version, folder, self._threads)
        with self._changing:
            before = self.snapshot
            loaded = before.predictors.get(version)
            if loaded is not None and loaded.package.model_digest == predictor.package.model_digest:
                return loaded
            if loaded is not None and version in before.table.versions:
                raise RequestRejected(409, f"version {version} is routed and was loaded from another package")
            predictors = MappingProxyType({**before.predictors, version: predictor})
            self.snapshot = replace(before, predictors=predictors)
        return predictor

    def unload(self, version: str) -> None:
        """Forgets a version; requests that it is answering are not disturbed.

        Raises:
            RequestRejected: 404, it is not loaded; 409, it is routed.
        """
        with self._changing:
            before = self.snapshot
            if version not in before.predictors:
                raise RequestRejected(404, f"version {version} is not loaded")
            if version in before.table.versions:
                raise RequestRejected(409, f"version {version} is routed: take it out of the routes first")
            rest = {name: predictor for name, predictor in before.predictors.items() if name != version}
            self.snapshot = replace(before, predictors=MappingProxyType(rest))

    def route(self, table: RoutingTable) -> None:
        """Puts a table in force, for all requests that come from now on.

        Raises:
            RequestRejected: 409, it names a version that is not loaded.
        """
        with self._changing:
            before = self.snapshot
            for version in table.versions:
                if version not in before.predictors:
                    raise RequestRejected(409, f"version {version} is not loaded: load it first")
            self.snapshot = replace(before, table=table)

    def describe(self) -> dict[str, Any]:
        """Routes and loaded versions as JSON values."""
        snapshot = self.snapshot
        versions = {
            name: {
                "model_digest": predictor.package.model_digest,
                "classes": list(predictor.classes),
                "loaded_at": predictor.loaded_at,
            }
            for name, predictor in snapshot.predictors.items()
        }
        return {**snapshot.table.values(), "versions": versions}


def start_fleet(version: str, folder: Path, threads: int) -> Fleet:
    """A fleet with one version as champion.

    Raises:
        ServingError: the package cannot be served.
    """
    fleet = Fleet(threads)
    fleet.load(version, folder)
    fleet.route(RoutingTable(champion=version))
    return fleet
