"""The models that one server serves, each by its name: opened, closed, listed, and their metrics together.

What one model does (load, route, roll back, answer) never waits for another: each has a `Control` of its
own, with its own lock, table and records. Only what changes all of them at once goes one by one: a model
that is opened or closed, and a worker process that is replaced.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from linnet.config.serving import Isolate, ServingConfig
from linnet.errors import RequestRejected, ServingError
from linnet.serving.lease import lapses_metric
from linnet.serving.memory import ModelMemory
from linnet.serving.router import RoutingTable
from linnet.serving.rpc import Channel, ChannelClosed
from linnet.serving.shared import MAX_MODELS, SharedPage
from linnet.serving.totals import Totals
from linnet.serving.version_manager import LOAD_SECONDS, Control

logger = logging.getLogger(__name__)
T = TypeVar("T")
_NAME_LENGTH = 256


def named(models: Mapping[str, T], name: str | None, address: str) -> T:
    """The model that a request means: by its name, or the only one; nothing is guessed.

    Args:
        models: those that are served, by name.
        name: the request's; None if it gives none.
        address: where a name is given, such as `/predict/NAME`, for the message.

    Raises:
        RequestRejected: 404, it is not served here; 400, several are served and none is named; 503, none is.
    """
    if name is None and len(models) == 1:
        return next(iter(models.values()))
    if name is not None and name in models:
        return models[name]
    known = ", ".join(sorted(models))
    if name is not None:
        raise RequestRejected(404, f"model {name:.80} is not served here; {known or 'no model'} is")
    if not models:
        raise RequestRejected(503, "no model is served yet; try again later")
    raise RequestRejected(400, f"several models are served here ({known}): name one, as {address}")


class Models:
    """The supervisor's view of all models and workers."""

    def __init__(
        self,
        page: SharedPage,
        load_seconds: float = LOAD_SECONDS,
        lease_seconds: float = 30.0,
        isolate: Isolate = "auto",
        memory_mb: float = 0.0,
        expected: int = 1,
    ) -> None:
        """`load_seconds`: longest time of a load; `lease_seconds`: of a candidate's share, unrenewed.

        `isolate`, `memory_mb`: see ServingConfig; `expected`: models that will be opened at first.
        """
        self.page, self._load_seconds, self._lease_seconds = page, load_seconds, lease_seconds
        self._isolated = isolate == "always" or (isolate == "auto" and expected > 1)
        self._isolate_later = isolate == "auto"
        self.workers: dict[int, Channel] = {}
        self.totals = Totals()
        self.controls: dict[str, Control] = {}
        self.image_days: dict[str, float] = {}
        """How long kept images of a model stay in the log, by its name; also if it is not served any more."""
        self._opened: dict[str, dict[str, Any]] = {}
        """What workers were told to open a model with."""
        self._ending: dict[str, dict[str, Any]] = {}
        self._closing: dict[str, asyncio.Task[None]] = {}
        """Models that still answer what they were asked before they were closed; each keeps its slot."""
        self.unserved: dict[str, str] = {}
        """Models that could not be loaded, with why."""
        self._changing = asyncio.Lock()
        self._memory = ModelMemory(self.controls, memory_mb, self._last_asked)

    def _last_asked(self, name: str) -> int:
        return self.page.asked(self._opened[name]["slot"]).number

    async def open(self, name: str, settings: ServingConfig) -> Control:
        """Gives a model its place in every worker, with its own queue, limits, log and metrics.

        Raises:
            RequestRejected: 400, the name cannot stand in an address; 409, it is served already, or as many
                as a server takes are.
        """
        if not (0 < len(name) <= _NAME_LENGTH and name.isprintable() and not set(name) & set("/?#")):
            problem = f"model {name!r:.80}: must be 1 to {_NAME_LENGTH} printable characters without / ? #"
            raise RequestRejected(400, problem)
        while (ending := self._closing.get(name)) is not None:
            await asyncio.wait({ending})
        async with self._changing:
            if name in self.controls or name in self._closing:
                raise RequestRejected(409, f"model {name} is served already")
            taken = {about["slot"] for about in (*self._opened.values(), *self._ending.values())}
            slot = next((one for one in range(MAX_MODELS) if one not in taken), None)
            if slot is None:
                raise RequestRejected(409, f"{MAX_MODELS} models are served already: close one first")
            about = {
                "model": name, "slot": slot, "config": settings.model_dump(mode="json"),
                "isolated": self._isolated or (self._isolate_later and bool(self._opened)),
            }  # fmt: skip
            await self._all("open", about)
            self._opened[name] = about
            self.image_days[name] = settings.log_image_days
            self.controls[name] = Control(
                name, self.page.generation(slot), self.workers, self._load_seconds, self._lease_seconds,
                lambda version: self.totals.forget(name, version),
            )  # fmt: skip
            return self.controls[name]

    async def _isolate(self) -> None:
        """There will be several models: those that are served move into processes of their own."""
        async with self._changing:
            self._isolated, self._isolate_later = True, False
            for name, about in self._opened.items():
                if about["isolated"]:
                    continue
                about["isolated"] = True
                try:
                    await self._all("isolate", {"model": name})
                except RequestRejected as error:
                    logger.error("model %s stays in the server's own processes: %s", name, error.problem)

    async def serve(
        self, name: str, version: str, package: Path, settings: ServingConfig, *, may_sleep: bool = False
    ) -> None:
        """Opens a model with `version` as its champion; if that cannot be loaded, nothing has changed.

        `may_sleep`: where there is no memory for it, it is loaded on its first request.

        Raises:
            RequestRejected: 400, 409, 422, as `open` and `Control.load` say.
        """
        control, workers = await self.open(name, settings), len(self.workers)
        try:
            if may_sleep and not self._memory.room(package, workers):
                await control.begin_asleep(version, package)
            else:
                async with self._memory.loading(name, package, workers):
                    await control.load(version, package)
                    await control.route(RoutingTable(champion=version))
        except ServingError:
            await self.close(name)
            raise
        if self._isolate_later and len(self.controls) > 1:
            await self._isolate()

    async def load(self, control: Control, version: str, package: Path) -> dict[str, Any]:
        """Loads a version of a model, which is woken for it, beside those that serve; see `Control.load`."""
        await self.wake(control.name)
        async with self._memory.loading(control.name, package, len(self.workers)):
            return await control.load(version, package)

    async def wake(self, name: str) -> None:
        """Loads a model that sleeps; see `ModelMemory.wake`."""
        await self._memory.wake(name)

    async def close(self, name: str) -> None:
        """Takes a model out of every worker; what it was asked before is answered, and no other waits for it.

        One that could not be loaded is given up.

        Raises:
            RequestRejected: 404, it is not served.
        """
        if name not in self.controls and self.unserved.pop(name, None) is not None:
            return
        control = named(self.controls, name, "")
        await control.unload_model()
        async with self._changing:
            if self.controls.get(name) is control:
                del self.controls[name]
                self._ending[name] = self._opened.pop(name)
                self._closing[name] = asyncio.ensure_future(self._end(name))
        if (ending := self._closing.get(name)) is not None:
            await asyncio.shield(ending)

    async def _end(self, name: str) -> None:
        try:
            await self._all("close", {"model": name})
        finally:
            del self._ending[name], self._closing[name]

    @asynccontextmanager
    async def standing_still(self) -> AsyncIterator[None]:
        """Nothing changes meanwhile: for a worker that takes another's place."""
        async with AsyncExitStack() as held:
            await held.enter_async_context(self._changing)
            for _, control in sorted(self.controls.items()):
                await held.enter_async_context(control.changing)
            yield

    async def sync_worker(self, worker: Channel) -> None:
        """Gives a new worker all that the others have; a model that cannot be loaded keeps no other away.

        Raises:
            ServingError: none of the models can be loaded any more.
        """
        problems: list[ServingError] = []
        for name, control in self.controls.items():
            await worker.ask("open", **self._opened[name])
            try:
                await control.sync_worker(worker)
            except RequestRejected as error:
                logger.error("model %s cannot be loaded in a new worker: %s", name, error)
                problems.append(error)
        if problems and len(problems) == len(self.controls):
            raise problems[0]

    def index(self) -> list[dict[str, str]]:
        """Every version of every model, as the protocol's repository index has it."""
        return [
            {"name": name, **entry}
            for name, control in sorted(self.controls.items())
            for entry in control.index()
        ]

    async def metrics(self) -> bytes:
        """All workers' metrics of all models, added up, in Prometheus' text format."""
        from linnet.serving.gpu import gpu_metrics

        for number, worker in list(self.workers.items()):
            try:
                self.totals.update(number, await worker.ask("metrics"))
            except ChannelClosed:
                continue
        roles = {
            (name, version): role
            for name, control in self.controls.items()
            for version, role in control.roles().items()
        }
        lapses = lapses_metric({name: control.lapses for name, control in self.controls.items()})
        return self.totals.text(roles, [*gpu_metrics(), lapses])

    async def _all(self, question: str, given: dict[str, Any]) -> None:
        """Tells every worker; one that ends meanwhile is left out, for its successor is brought up."""
        told = [worker.ask(question, **given) for worker in list(self.workers.values())]
        for problem in await asyncio.gather(*told, return_exceptions=True):
            if isinstance(problem, BaseException) and not isinstance(problem, ChannelClosed):
                raise problem
