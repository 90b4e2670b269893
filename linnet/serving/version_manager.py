"""What concerns all workers at once: versions, the routing table, records and metrics.

A change is a two-phase commit: every worker prepares it; only when all have, it is put in force, for
all of them at one moment, by the number of the generation in the page that they share. If one of them
cannot, nothing has changed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

from linnet.errors import RequestRejected
from linnet.serving.lease import Lease, lapses_metric
from linnet.serving.ring import ServedRing
from linnet.serving.router import RoutingTable, check_version
from linnet.serving.rpc import Channel, ChannelClosed
from linnet.serving.shared import SharedPage
from linnet.serving.totals import Totals

logger = logging.getLogger(__name__)
LOAD_SECONDS = 45.0
"""Longest time for all workers together to load a version and to answer its golden samples."""


class Control:
    """The supervisor's view of its workers. Changes are made one after the other."""

    def __init__(
        self, page: SharedPage, load_seconds: float = LOAD_SECONDS, lease_seconds: float = 30.0
    ) -> None:
        self.page, self._load_seconds = page, load_seconds
        self._forgetting: set[asyncio.Task[Any]] = set()
        self.workers: dict[int, Channel] = {}
        self.versions: dict[str, dict[str, Any]] = {}
        """Loaded versions: what `fleet.describe` says, and `package`, the folder."""
        self.table = RoutingTable()
        self.unloaded: tuple[dict[str, str], RoutingTable] | None = None
        """Packages and table of a model that was unloaded as a whole."""
        self.ring = ServedRing()
        self.totals = Totals("")
        self.changing = asyncio.Lock()
        self.lease = Lease(lease_seconds, self._lapse)
        """Of the candidate's share, beside a champion."""
        self.lapses = 0
        self.lapsed: dict[str, Any] | None = None
        """The last share that nobody renewed: candidate, percent, at (seconds since the epoch)."""

    async def load(self, version: str, folder: Path) -> dict[str, Any]:
        """Loads and warms up a version in every worker, one after the other, beside those that serve.

        Raises:
            RequestRejected: 400, not a version; 409, it is routed, from another package; 422, the package
                cannot be served, or not within `load_seconds`: then no worker has it.
        """
        check_version(version)
        async with self.changing:
            try:
                about: dict[str, Any] = {}
                async with asyncio.timeout(self._load_seconds):
                    for worker in list(self.workers.values()):
                        about = await self._of(worker, "stage", version=version, folder=str(folder)) or about
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
            self.versions[version] = {**about, "package": str(folder)}
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
            del self.versions[version]
            await self._all("unload", version=version)

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
            "nobody looks after version %s any more: its %g %% of the traffic went back to version %s",
            before.candidate, before.percent, before.champion,
        )  # fmt: skip

    async def _route(self, table: RoutingTable) -> None:
        for version in table.versions:
            if version not in self.versions:
                raise RequestRejected(409, f"version {version} is not loaded: load it first")
        generation = self.page.generation + 1
        await self._all("prepare", generation=generation, table=table.values())
        self.page.generation = generation
        self.table = table

    async def sync_worker(self, worker: Channel) -> None:
        """Gives a new worker all that the others have.

        Raises:
            RequestRejected: a version cannot be loaded any more.
        """
        for version, about in self.versions.items():
            await worker.ask("stage", version=version, folder=about["package"])
            await worker.ask("keep", version=version)
        await worker.ask("prepare", generation=self.page.generation, table=self.table.values())

    def describe(self) -> dict[str, Any]:
        """Routes and loaded versions as JSON values."""
        shown = ("model_digest", "classes", "loaded_at")
        versions = {name: {key: about[key] for key in shown} for name, about in self.versions.items()}
        return {**self.table.values(), "versions": versions, "lapsed": self.lapsed}

    async def records(self, after: int, limit: int) -> dict[str, Any]:
        """A page of the served records of all workers, see `ServedRing.since`."""
        for page in await self._all("records"):
            self.ring.skip(page["lost"])
            for record in page["records"]:
                self.ring.publish(record)
        return self.ring.since(after, limit)

    async def metrics(self) -> bytes:
        """All workers' metrics, added up, in Prometheus' text format."""
        from linnet.serving.gpu import gpu_metrics

        for number, worker in list(self.workers.items()):
            values = await self._of(worker, "metrics")
            if values is not None:
                self.totals.update(number, values)
        extra = [*gpu_metrics(), lapses_metric({self.totals.model: self.lapses})]
        roles = {self.table.champion: "champion", self.table.candidate: "candidate"}
        return self.totals.text({name: roles.get(name, "idle") for name in self.versions}, extra)

    async def unload_model(self) -> None:
        """Takes the whole model out of service; `load_model` brings it back."""
        async with self.changing:
            if not self.versions:
                return
            packages = {version: about["package"] for version, about in self.versions.items()}
            before = self.table
            await self._route(RoutingTable())
            self.lease.end()
            for version in packages:
                del self.versions[version]
                await self._all("unload", version=version)
            self.unloaded = (packages, before)

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
        self.unloaded = None

    async def _all(self, question: str, **arguments: Any) -> list[Any]:
        """Asks every worker at once; one that ends meanwhile is left out, for its successor is brought up."""
        answers = [self._of(worker, question, **arguments) for worker in list(self.workers.values())]
        found = await asyncio.gather(*answers, return_exceptions=True)
        for problem in found:
            if isinstance(problem, BaseException):
                raise problem
        return [answer for answer in found if answer is not None]

    async def _of(self, worker: Channel, question: str, **arguments: Any) -> Any:
        try:
            return await worker.ask(question, **arguments)
        except ChannelClosed:
            return None
