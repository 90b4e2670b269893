"""The loaded versions and the routing table of one model in one worker: a snapshot, replaced as a whole.

A request takes the snapshot once and keeps its predictor to the end, so a swap or an unload never
touches a request in flight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from linnet.artifacts.onnx_model import OpenSession
from linnet.errors import RequestRejected
from linnet.serving.predictor import MakeSource, Predictor
from linnet.serving.router import RoutingTable
from linnet.serving.shared import Word


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
    """Loads and unloads versions, and follows the routing table that the supervisor puts in force.

    A table is prepared first, under the number of its generation, in every worker process; it is in
    force from the moment that the shared page has that number.
    """

    def __init__(
        self,
        in_force: Word,
        threads: int = 1,
        source: MakeSource | None = None,
        open_with: OpenSession | None = None,
    ) -> None:
        """`threads`: ONNX Runtime threads a session; `source`: makes a model's feature source.

        `open_with`: opens sessions in other processes; None: in this one.
        """
        self._in_force, self._threads, self._source, self._open_with = in_force, threads, source, open_with
        self._predictors: Mapping[str, Predictor] = MappingProxyType({})
        self._tables: dict[int, RoutingTable] = {}
        self._staged: dict[str, Predictor] = {}
        self._current: Snapshot | None = None
        self._generation = -1

    @property
    def snapshot(self) -> Snapshot:
        """What is loaded and in force now."""
        generation = self._in_force.number
        if self._current is None or generation != self._generation:
            self._generation = generation
            self._current = Snapshot(self._predictors, self._tables.get(generation, RoutingTable()))
        return self._current

    def stage(self, version: str, folder: Path) -> Predictor:
        """Loads and warms up a version, aside; `keep` puts it beside those that serve.

        Raises:
            ServingError: the package cannot be served.
            RequestRejected: 409, the version is routed, and was loaded from another package.
        """
        predictor = Predictor.load(version, folder, self._threads, self._source, self._open_with)
        loaded = self._predictors.get(version)
        if loaded is not None and loaded.package.model_digest == predictor.package.model_digest:
            return loaded
        if loaded is not None and version in self.snapshot.table.versions:
            raise RequestRejected(409, f"version {version} is routed and was loaded from another package")
        self._staged[version] = predictor
        return predictor

    def keep(self, version: str) -> None:
        """Puts a staged version beside those that serve; nothing happens if it was there already."""
        if (predictor := self._staged.pop(version, None)) is not None:
            self._replace({**self._predictors, version: predictor})

    def isolate(self, open_with: OpenSession) -> None:
        """Moves the session of every version, also of those to come, into another process.

        Raises:
            ServingError: a package cannot be loaded any more; that version and the rest stay as they are.
        """
        self._open_with = open_with
        for version, one in list(self._predictors.items()):
            if not one.isolated and one.folder is not None:
                moved = Predictor.load(version, one.folder, self._threads, self._source, open_with)
                if self._predictors.get(version) is one:
                    self._replace({**self._predictors, version: moved})

    def drop(self, version: str) -> None:
        """Forgets a staged version."""
        self._staged.pop(version, None)

    def unload(self, version: str) -> None:
        """Forgets a version; requests that it is answering are not disturbed."""
        self._replace({name: one for name, one in self._predictors.items() if name != version})

    def prepare(self, generation: int, table: RoutingTable) -> None:
        """Holds a table ready until the page says that it is in force; older ones are forgotten.

        Raises:
            RequestRejected: 409, it names a version that is not loaded.
        """
        for version in table.versions:
            if version not in self._predictors:
                raise RequestRejected(409, f"version {version} is not loaded: load it first")
        in_force = self._in_force.number
        self._tables = {number: one for number, one in self._tables.items() if number >= in_force}
        self._tables[generation] = table

    def _replace(self, predictors: Mapping[str, Predictor]) -> None:
        self._predictors = MappingProxyType(dict(predictors))
        self._current = None


def describe_predictor(predictor: Predictor) -> dict[str, Any]:
    """A loaded version as JSON values."""
    return {
        "name": predictor.package.name,
        "model_digest": predictor.package.model_digest,
        "task": predictor.package.task,
        "classes": list(predictor.classes),
        "loaded_at": predictor.loaded_at,
        "memory_mb": predictor.memory_mb,
    }
