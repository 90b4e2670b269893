"""What the console reads, in one place: runs, registry, ledger, server, prediction log, dataset.

Everything here may block; pages call it in a thread. What is costly is kept for some seconds, or for
good where it cannot change (the evidence of a run that has ended).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from linnet.config import RegistryConfig
from linnet.deployment.journal import UNDER_WAY
from linnet.deployment.rollout_commands import journals
from linnet.errors import LinnetError, RegistryError, RunError, ServingError, StorageError
from linnet.process.model_server import ServerState
from linnet.records import JudgeSnapshot, LedgerEntry, ModelVersion, RunRecord, StepDecision
from linnet.registry.champion import ModelRegistry
from linnet.registry.connect import connect
from linnet.report.evidence import RunEvidence, read_evidence
from linnet.run import runs
from linnet.serving.client import ServerClient
from linnet.storage.files import is_a_file
from linnet.storage.paths import server_state_file, state_dir

T = TypeVar("T")
SHORT_SECONDS = 2.0
LONG_SECONDS = 30.0


class TimedCache:
    """Values that are worked out once and kept for a time; one thread works while the others wait."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._values: dict[object, tuple[float, Any]] = {}
        self._locks: dict[object, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, key: object, seconds: float, make: Callable[[], T]) -> T:
        """The value of `key`, made anew where it is older than `seconds`."""
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            made, value = self._values.get(key, (float("-inf"), None))
            if self._clock() - made >= seconds:
                value = make()
                self._values[key] = (self._clock(), value)
            found: T = value
            return found

    def forget(self) -> None:
        """Drops everything: something was changed."""
        self._values.clear()


@dataclass(frozen=True)
class ServerStatus:
    """What the server of this machine says of itself; `problem` where none answers."""

    url: str = ""
    champion: str = ""
    candidate: str = ""
    percent: float = 0.0
    versions: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Canary:
    """A rollout under way, as its journal has it."""

    model: str
    version: str
    champion: str | None
    phase: str
    alive: bool
    """Whether a process carries it out."""
    percent: int
    seconds: float
    """Of watching, so far."""
    steps: tuple[StepDecision, ...]
    looks: tuple[JudgeSnapshot, ...]


class Sources:
    """All that pages read. One for a console; may be used by many threads."""

    def __init__(self, tracking_uri: str = "", host: str = "") -> None:
        """`host`: address of the KFP API that runs are sent to; empty: this machine's engine."""
        self.host = host
        self.kept = TimedCache()
        self.registry: ModelRegistry = connect(RegistryConfig(tracking_uri=tracking_uri))
        self._store = threading.Lock()
        self._ended: dict[tuple[Path, int], Any] = {}

    def runs(self) -> list[RunRecord]:
        """All runs, the newest first; one whose record cannot be read is left out: see `unread_runs`."""
        return self._runs()[0]

    def unread_runs(self) -> list[str]:
        """Why runs are left out: a sentence each."""
        return self._runs()[1]

    def _runs(self) -> tuple[list[RunRecord], list[str]]:
        def read() -> tuple[list[RunRecord], list[str]]:
            unread: list[str] = []
            found = runs.readable(
                lambda folder: self._unchanged(folder, runs.load, "run.json"), told=unread.append
            )
            return [record for _, record in found], unread

        return self.kept.get("runs", SHORT_SECONDS, read)

    def evidence(self, run_id: str) -> RunEvidence:
        """The evidence of one run.

        Raises:
            RunError: there is no such run, or several begin like this.
        """
        if not run_id or any(letter in run_id for letter in "/\\*?["):
            raise RunError(f"there is no run {run_id[:80]!r} here: `linnet runs list` shows them")
        folder = runs.runs_dir() / run_id
        whole = is_a_file(folder / "run.json")  # else a beginning, for which all runs are looked through
        return self._unchanged(folder if whole else runs.find(run_id), read_evidence, "run.json")

    def _unchanged(self, folder: Path, read: Callable[[Path], T], name: str) -> T:
        """What `read` gives for a folder, kept as long as its file `name` is the same and says it ended."""
        try:
            stamp = (folder / name).stat().st_mtime_ns
        except OSError as error:
            raise StorageError(f"{folder}: cannot be read ({error.strerror})") from error
        key = (folder / read.__name__, stamp)
        if key not in self._ended:
            value = read(folder)
            record = value.record if isinstance(value, RunEvidence) else value
            if getattr(record, "ended_at", None) is None:
                return value
            self._ended[key] = value
        found: T = self._ended[key]
        return found

    def models(self) -> list[str]:
        """Names of the registered models."""
        with self._reading():
            return self.kept.get("models", SHORT_SECONDS, self.registry.store.models)

    def versions(self, model: str) -> list[ModelVersion]:
        """All versions of a model, the newest first.

        Raises:
            RegistryError: the registry cannot be read.
        """
        with self._reading():
            return self.kept.get(("versions", model), SHORT_SECONDS, lambda: self.registry.versions(model))

    def version(self, model: str, version: str) -> ModelVersion:
        """One version.

        Raises:
            RegistryError: there is no such version.
        """
        if model not in self.models():  # nothing is kept for names that anybody makes up
            raise RegistryError(f"there is no model {model[:80]!r}")
        for found in self.versions(model):
            if found.version == version:
                return found
        raise RegistryError(f"{model} has no version {version[:40]!r}")

    def champion(self, model: str) -> ModelVersion | None:
        """The champion of a model, if there is one."""
        return next((v for v in self.versions(model) if "champion" in v.aliases), None)

    def ledger(self, model: str) -> list[LedgerEntry]:
        """The promotion ledger of a model, the newest line first."""
        return self.registry.ledger.entries(model)[::-1]

    def package(self, version: ModelVersion) -> Path:
        """The folder of a version's package, verified once."""
        key = ("package", version.name, version.version)
        with self._reading():
            return self.kept.get(key, 3600.0, lambda: self.registry.package_folder(version))

    def served(self, model: str) -> ServerStatus:
        """Where the server of this machine sends the requests of a model."""
        return self.kept.get(("served", model), SHORT_SECONDS, lambda: _served(model))

    def served_models(self) -> list[str]:
        """Names of the models that the server of this machine serves; none where none runs."""
        return self.kept.get("served models", SHORT_SECONDS, _served_models)

    def canary(self, model: str) -> Canary | None:
        """A model's rollout that is under way on this machine, if there is one."""
        return self.kept.get(("canary", model), 0.5, lambda: _canary(model))

    def client(self, model: str) -> ServerClient:
        """A client of this machine's server, for one of its models.

        Raises:
            ServingError: none runs.
        """
        return ServerClient.from_state(server_state_file(), model=model)

    def evidence_of(self, version: ModelVersion, unread: list[str] | None = None) -> RunEvidence | None:
        """The evidence of the run that made a version; None where it is not on this machine.

        Nor where its record cannot be read: `unread` is told so.
        """
        try:
            return self.evidence(version.tags.get("run", ""))
        except RunError:
            return None
        except LinnetError as error:
            if unread is not None:
                unread.append(f"the run of version {version.version}: {error}")
            return None

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """One thread at a time in MLflow, whose first import must not happen twice at once."""
        with self._store:
            yield


def _canary(model: str) -> Canary | None:
    for journal in journals():
        state = journal.read()
        if state.get("phase") not in UNDER_WAY or state.get("model") != model:
            continue
        try:
            seconds, percent = float(state.get("total") or 0), int(state["percent"])
            steps = tuple(StepDecision.model_validate(step) for step in state.get("steps") or ())
        except (TypeError, ValueError):  # of another Linnet: that it is under way is known all the same
            seconds, percent, steps = 0.0, 0, ()
        return Canary(
            model=model,
            version=str(state["candidate"]),
            champion=state.get("champion"),
            phase=str(state["phase"]),
            alive=journal.is_held(),
            percent=percent,
            seconds=seconds,
            steps=steps,
            looks=tuple(journal.looks()),
        )
    return None


def _served(model: str) -> ServerStatus:
    state = ServerState.read(server_state_file())
    if state is None:
        return ServerStatus(problem="No server runs: `linnet up` starts it.")
    try:
        client = ServerClient.from_state(server_state_file(), timeout=2.0, model=model)
        served = client.models()
        if model not in served:
            others = ", ".join(served) or "nothing"
            if problem := state.unserved.get(model):
                why = (
                    f"The server could not load {model}: {problem}; it tries again when it is started again."
                )
                return ServerStatus(url=state.url, problem=why)
            why = f"The server serves {others}, not {model}: `linnet up --name {model}` has it serve it, too."
            return ServerStatus(url=state.url, problem=why)
        routes = client.routes()
    except (ServingError, RegistryError) as error:
        return ServerStatus(url=state.url, problem=str(error))
    return ServerStatus(
        url=state.url,
        champion=str(routes.get("champion") or routes.get("asleep") or ""),
        candidate=str(routes.get("candidate") or ""),
        percent=float(routes.get("percent") or 0),
        versions=tuple(str(version) for version in routes.get("versions", ())),
    )


def _served_models() -> list[str]:
    if ServerState.read(server_state_file()) is None:
        return []
    try:
        return ServerClient.from_state(server_state_file(), timeout=2.0).models()
    except (ServingError, RegistryError):
        return []


def console_dir() -> Path:
    """Where the console keeps its own files: tokens, audit log, embeddings."""
    return state_dir() / "console"
