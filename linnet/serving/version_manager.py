"""What concerns all workers at once about one model: its versions, its routing table, its records.

A change is a two-phase commit: every worker prepares it; only when all have, it is put in force, for
all of them at one moment, by the number of the generation in the page that they share. If one of them
cannot, nothing has changed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from linnet.artifacts.onnx_model import read_package
from linnet.errors import RequestRejected
from linnet.serving.lease import Lease
from linnet.serving.ring import ServedRing
from linnet.serving.router import RoutingTable, check_version
from linnet.serving.rpc import Channel, ChannelClosed
from linnet.serving.shared import Word

logger = logging.getLogger(__name__)
RETIRED = 20
"""Unloaded versions whose metrics are still shown: what they counted must last until it was scraped."""
_ASLEEP = "not loaded, to save memory: the next request loads it"
LOAD_SECONDS = 45.0
"""Longest time for all workers together to load a version and to answer its golden samples."""


class Control:
    """The supervisor's view of one model in its workers. Changes are made one after the other."""

    def __init__(
        self,
        name: str,
        in_force: Word,
        workers: Mapping[int, Channel],
        load_seconds: float = LOAD_SECONDS,
        lease_seconds: float = 30.0,
        forgotten: Callable[[str], None] = lambda _version: None,
    ) -> None:
        """`workers`: those that run, by number; the server keeps it up to date.

        `forgotten` is told a version whose metrics are not to be shown any more.
        """
        self.forgotten = forgotten
        self.name, self._in_force, self._load_seconds = name, in_force, load_seconds
        self._forgetting: set[asyncio.Task[Any]] = set()
        self._workers = workers
        self.versions: dict[str, dict[str, Any]] = {}
        """Loaded versions: what `fleet.describe` says, and `package`, the folder."""
        self.table = RoutingTable()
        self.unloaded: tuple[dict[str, str], RoutingTable] | None = None
        """Packages and table of a model that was unloaded as a whole."""
        self.asleep = False
        """Whether it was unloaded to make room, so that its next request loads it again."""
        self.slept_mb = 0.0
        """Memory that it took before."""
        self._owners: set[str] = set()
        """Use cases whose packages it had when it was unloaded."""
        self._retired: deque[str] = deque()
        """Unloaded versions whose metrics are still shown, the oldest first."""
        self.ring = ServedRing()
        self.changing = asyncio.Lock()
        self.lease = Lease(lease_seconds, self._lapse)
        """Of the candidate's share, beside a champion."""
        self.lapses = 0
        self.lapsed: dict[str, Any] | None = None
        """The last share that nobody renewed: candidate, percent, at (seconds since the epoch)."""

    async def load(self, version: str, folder: Path) -> dict[str, Any]:
        """Loads and warms up a version in every worker, one after the other, beside those that serve.

        Raises:
            RequestRejected: 400, not a version; 409, it is routed, from another package, or the package is
                another model's; 422, the package cannot be served, or not within `load_seconds`: then no
                worker has it.
        """
        check_version(version)
        async with self.changing:
            try:
                about: dict[str, Any] = {}
                async with asyncio.timeout(self._load_seconds):
                    memory = 0.0
                    for worker in list(self._workers.values()):
                        about = await self._of(worker, "stage", version=version, folder=str(folder)) or about
                        memory += about.get("memory_mb", 0.0)
                        self._check_owner(version, about)
            except TimeoutError as error:
                # A worker drops it as soon as it is done with it; nobody waits for that.
                task = asyncio.ensure_future(self._all("drop", version=version))
                self._forgetting.add(task)
                task.add_done_callback(self._forgetting.discard)
                raise RequestRejected(
                    422,
                    f"version {version} did not load and answer its golden samples within "
                    f"{self._load_seconds:g} s: it is too slow to be served here",
                ) from error
            except RequestRejected:
                await self._all("drop", version=version)
                raise
            if not about:
                raise RequestRejected(503, "no worker process is running; try again later")
            await self._all("keep", version=version)
            self.versions[version] = {**about, "package": str(folder), "memory_mb": memory}
        return about

    async def unload(self, version: str) -> None:
        """Forgets a version; requests that it is answering are not disturbed.

        Raises:
            RequestRejected: 404, it is not loaded; 409, it is routed.
        """
        async with self.changing:
            if version not in self.versions:
                raise RequestRejected(404, f"version {version:.80} is not loaded")
            if version in self.table.versions:
                raise RequestRejected(409, f"version {version} is routed: take it out of the routes first")
            await self._forget(version)

    async def _forget(self, version: str) -> None:
        """Unloads a version, and has the metrics of the oldest unloaded ones forgotten."""
        del self.versions[version]
        await self._all("unload", version=version)
        self._retired.append(version)
        while len(self._retired) > RETIRED:
            oldest = self._retired.popleft()
            if oldest not in self.versions and oldest not in self._retired:
                await self._all("forget", version=oldest)
                self.forgotten(oldest)

    async def route(self, table: RoutingTable, lease: float | None = None) -> None:
        """Puts a table in force in all workers at once.

        `lease`: seconds for which a candidate beside a champion keeps its share unless it is renewed; None:
        as the server is set.

        Raises:
            RequestRejected: 409, it names a version that is not loaded.
        """
        async with self.changing:
            await self._route(table)
            if table.champion is not None and table.candidate is not None:
                self.lease.begin(lease)
            else:
                self.lease.end()

    def renew(self, candidate: str) -> float:
        """The candidate's judge is looking: its share stays. Returns the seconds until it must say so again.

        Raises:
            RequestRejected: 409, the candidate has no share: its lease ran out, or somebody took it away.
        """
        if self.table.candidate != candidate or not self.lease.held or self.lease.over:
            raise RequestRejected(409, f"version {candidate:.80} has no share of the traffic to be kept")
        return self.lease.renew()

    async def _lapse(self) -> None:
        """Nobody renewed the candidate's share: all of the traffic is the champion's again."""
        async with self.changing:
            if not self.lease.over:  # renewed, or taken away, while something else was changed
                return
            before = self.table
            try:
                await self._route(RoutingTable(champion=before.champion))
            except RequestRejected as error:
                logger.error(
                    "the traffic of version %s cannot be given back yet: %s", before.candidate, error
                )
                return
            self.lease.end()
            self.lapses += 1
            self.lapsed = {"candidate": before.candidate, "percent": before.percent, "at": time.time()}
        logger.error(
            "%s: nobody looks after version %s any more: its %g %% of the traffic went back to version %s",
            self.name, before.candidate, before.percent, before.champion,
        )  # fmt: skip

    def _check_owner(self, version: str, about: dict[str, Any]) -> None:
        """Refuses the package of another use case: its answers would go out under this model's name."""
        served = {each["name"] for other, each in self.versions.items() if other != version} | self._owners
        if about and served and about["name"] not in served:
            raise RequestRejected(
                409,
                f"version {version}: its package is of {about['name']}, but model {self.name} serves "
                f"{' and '.join(sorted(served))}: nothing was changed; load it under its own model's name",
            )

    async def _route(self, table: RoutingTable) -> None:
        for version in table.versions:
            if version not in self.versions:
                raise RequestRejected(409, f"version {version} is not loaded: load it first")
        generation = self._in_force.number + 1
        await self._all("prepare", generation=generation, table=table.values())
        self._in_force.number = generation
        self.table = table
        if table.versions:  # whatever was unloaded as a whole before
            self.unloaded, self.asleep, self._owners = None, False, set()

    async def sync_worker(self, worker: Channel) -> None:
        """Gives a new worker all that the others have.

        Raises:
            RequestRejected: a version cannot be loaded any more.
        """
        for version, about in self.versions.items():
            await worker.ask("stage", model=self.name, version=version, folder=about["package"])
            await worker.ask("keep", model=self.name, version=version)
        number, table = self._in_force.number, self.table.values()
        await worker.ask("prepare", model=self.name, generation=number, table=table)
        if self.asleep:
            await worker.ask("sleep", model=self.name)

    def describe(self) -> dict[str, Any]:
        """Routes and loaded versions as JSON values; `asleep`: the champion that the next request loads."""
        shown = ("model_digest", "classes", "loaded_at")
        versions = {name: {key: about[key] for key in shown} for name, about in self.versions.items()}
        memory = round(self.memory_mb, 1)
        asleep = self.unloaded[1].champion if self.asleep and self.unloaded is not None else None
        return {
            "model": self.name, **self.table.values(), "versions": versions, "lapsed": self.lapsed,
            "memory_mb": memory, "asleep": asleep,
        }  # fmt: skip

    def index(self) -> list[dict[str, str]]:
        """Its versions: {"version", "state", "reason"}, unloaded ones included."""
        gone = self.unloaded[0] if self.unloaded is not None else {}
        return [
            {
                "version": version,
                "state": "READY" if version in self.versions else "UNAVAILABLE",
                "reason": "" if version in self.versions else _ASLEEP if self.asleep else "unloaded",
            }
            for version in sorted({*self.versions, *gone})
        ]

    def roles(self) -> dict[str, str]:
        """Loaded version -> champion, candidate or idle; the champion of a model that sleeps -> asleep."""
        if self.asleep and self.unloaded is not None:
            return dict.fromkeys(self.unloaded[1].versions, "asleep")
        roles = {self.table.champion: "champion", self.table.candidate: "candidate"}
        return {version: roles.get(version, "idle") for version in self.versions}

    async def records(self, after: int, limit: int) -> dict[str, Any]:
        """A page of the served records of all workers, see `ServedRing.since`."""
        for page in await self._all("records"):
            self.ring.skip(page["lost"])
            for record in page["records"]:
                self.ring.publish(record)
        return self.ring.since(after, limit)

    async def unload_model(self) -> None:
        """Takes the whole model out of service; `load_model` brings it back."""
        async with self.changing:
            if not self.versions:
                return
            packages = {version: about["package"] for version, about in self.versions.items()}
            before = self.table
            await self._route(RoutingTable())
            self.lease.end()
            self.slept_mb = self.memory_mb
            owners = {about["name"] for about in self.versions.values()}
            for version in packages:
                await self._forget(version)
            self.unloaded, self._owners = (packages, before), owners

    async def sleep(self) -> None:
        """Unloads the whole model to make room; its next request loads it again."""
        await self.unload_model()
        if self.unloaded is not None:
            self.asleep = True
            await self._all("sleep")

    async def begin_asleep(self, version: str, package: Path) -> None:
        """Loads nothing yet: the first request makes `version` the champion.

        Raises:
            ServingError: the package is missing or damaged.
        """
        check_version(version)
        self._owners = {read_package(package).name}
        self.unloaded = ({version: str(package)}, RoutingTable(champion=version))
        self.asleep = True
        await self._all("sleep")

    async def load_model(self) -> None:
        """Brings back what `unload_model` took; a model that serves stays as it is.

        Raises:
            RequestRejected: a package cannot be loaded any more.
        """
        if self.unloaded is None:
            return
        packages, table = self.unloaded
        for version, folder in packages.items():
            await self.load(version, Path(folder))
        await self.route(table)
        self.unloaded, self.asleep = None, False

    @property
    def memory_mb(self) -> float:
        """What its loaded versions take, in all workers."""
        return sum(float(about["memory_mb"]) for about in self.versions.values())

    async def _all(self, question: str, **arguments: Any) -> list[Any]:
        """Asks every worker at once; one that ends meanwhile is left out, for its successor is brought up."""
        answers = [self._of(worker, question, **arguments) for worker in list(self._workers.values())]
        found = await asyncio.gather(*answers, return_exceptions=True)
        for problem in found:
            if isinstance(problem, BaseException):
                raise problem
        return [answer for answer in found if answer is not None]

    async def _of(self, worker: Channel, question: str, **arguments: Any) -> Any:
        try:
            return await worker.ask(question, model=self.name, **arguments)
        except ChannelClosed:
            return None
