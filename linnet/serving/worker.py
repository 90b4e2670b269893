"""A worker process: its own event loop, models and connections; started by the supervisor only."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from linnet.config import ServingConfig
from linnet.errors import RequestRejected
from linnet.records.refused import quarantine_folder
from linnet.serving.acceptor import Acceptor
from linnet.serving.access import AccessControl
from linnet.serving.app import App
from linnet.serving.budget import Budget
from linnet.serving.fleet import describe_predictor
from linnet.serving.http import HttpServer
from linnet.serving.messages import Request, Response
from linnet.serving.metrics import SettledMemory, process_values, resident_memory
from linnet.serving.quarantine import Quarantine
from linnet.serving.router import RoutingTable
from linnet.serving.rpc import Channel, ChannelClosed
from linnet.serving.served_model import ServedModel
from linnet.serving.shared import SharedPage

logger = logging.getLogger(__name__)
DRAIN_SECONDS = 20.0
LAST_SECONDS = 1.0
"""After that, for what was asked by clients that have gone: it is computed nevertheless, and logged."""
CLOSE_SECONDS = 15.0
"""Longest time that a model which is closed goes on answering what it was asked before; then it gets 503."""
ADMIN_BODY = 1 << 18
"""Bytes of a body that goes to the supervisor."""
WAKE_SECONDS = 5.0
"""Longest time that a request waits for its model to be loaded; then it gets 503 and comes again."""
PASSED_ON = 64
"""Requests that may wait for the supervisor's answer; more get 503."""
_CHANGES_MEMORY = frozenset({"open", "close", "isolate", "stage", "keep", "drop", "unload", "sleep"})
"""Questions after which the process holds more or less memory, for good reason."""


class Worker:
    """What a worker is made of, and how it answers the supervisor's questions."""

    def __init__(self, listener: socket.socket, page: SharedPage, number: int) -> None:
        self._listener, self._page, self._number = listener, page, number
        self._models: dict[str, ServedModel] = {}
        self._memory = SettledMemory()
        self._channel: Channel | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._acceptor: Acceptor | None = None
        self._drained = asyncio.Lock()
        self._passed_on = 0
        self._waking: dict[str, asyncio.Future[Any]] = {}

    async def run(self, end: socket.socket) -> None:
        """Answers until the supervisor hangs up, or has drained this worker."""
        self._channel = await Channel.over(end, self._answer)
        await self._channel.closed.wait()
        await self._drain()  # the supervisor is dead, or done with this worker: what was answered is logged

    async def _answer(self, question: str, given: dict[str, Any]) -> Any:
        known: dict[str, Callable[..., Awaitable[Any]]] = {
            "configure": self._configure,
            "open": self._open,
            "close": self._close,
            "isolate": self._isolate,
            "stage": self._stage,
            "keep": self._keep,
            "drop": self._drop,
            "unload": self._unload,
            "forget": self._forget,
            "sleep": self._sleep,
            "prepare": self._prepare,
            "serve": self._serve,
            "records": self._records,
            "metrics": self._values,
            "drain": self._drain,
        }
        if question in _CHANGES_MEMORY:
            self._memory.disturbed()
        return await known[question](**given)

    async def _configure(
        self,
        config: dict[str, Any],
        workers: int,
        threads: int,
        token: str,
        keys: str | None,
        log_dir: str | None,
    ) -> None:
        self._config = ServingConfig.model_validate(config)
        self._workers, self._threads = workers, threads
        self._log_dir = Path(log_dir) if log_dir is not None else None
        self._access = AccessControl(
            token, Path(keys) if keys is not None else None, self._config.require_key, self._page
        )
        self._unlogged = self._page.unlogged(self._number)  # one tally, with its lock, for all models

    async def _open(self, model: str, slot: int, config: dict[str, Any], isolated: bool) -> None:
        opened = ServedModel(
            model,
            self._page.generation(slot),
            self._page.asked(slot),
            ServingConfig.model_validate(config),
            workers=self._workers,
            threads=self._threads,
            isolated=isolated,
            log_dir=self._log_dir,
            unlogged=self._unlogged.add,
        )
        if self._acceptor is not None:
            opened.start()
        self._models[model] = opened

    async def _close(self, model: str) -> None:
        closed = self._models.pop(model, None)
        if closed is not None:
            await closed.end(CLOSE_SECONDS)

    async def _isolate(self, model: str) -> None:
        served, loop = self._of(model), asyncio.get_running_loop()
        async with served.loading:
            await loop.run_in_executor(None, served.isolate)

    def _of(self, model: str) -> ServedModel:
        """The model that a question is about: no other one is ever touched."""
        if model not in self._models:
            raise RequestRejected(404, f"model {model:.80} is not served here")
        return self._models[model]

    async def _stage(self, model: str, version: str, folder: str) -> dict[str, Any]:
        served, loop = self._of(model), asyncio.get_running_loop()
        async with served.loading:
            predictor = await loop.run_in_executor(None, served.fleet.stage, version, Path(folder))
        return describe_predictor(predictor)

    async def _keep(self, model: str, version: str) -> None:
        served = self._of(model)
        served.fleet.keep(version)
        if self._acceptor is not None:
            served.metrics.known(version)

    async def _drop(self, model: str, version: str) -> None:
        served = self._of(model)
        async with served.loading:  # what is still being loaded is dropped when it is there
            served.fleet.drop(version)

    async def _unload(self, model: str, version: str) -> None:
        self._of(model).fleet.unload(version)

    async def _forget(self, model: str, version: str) -> None:
        self._of(model).metrics.forget(version)

    async def _sleep(self, model: str) -> None:
        self._of(model).asleep = True

    async def _prepare(self, model: str, generation: int, table: dict[str, Any]) -> None:
        served = self._of(model)
        served.fleet.prepare(generation, RoutingTable.parse(table))
        served.asleep = False

    async def _wake(self, model: ServedModel) -> None:
        """Has a model that sleeps loaded, or says that it takes longer than a request should wait."""
        assert self._channel is not None
        if model.name not in self._waking:  # one question, however many requests wait for it
            task = asyncio.ensure_future(self._channel.ask("wake", model=model.name))
            self._waking[model.name] = task
            task.add_done_callback(lambda _: self._waking.pop(model.name, None))
        try:
            async with asyncio.timeout(WAKE_SECONDS):
                await asyncio.shield(self._waking[model.name])
        except TimeoutError as error:
            raise RequestRejected(503, f"model {model.name} is being loaded; try again soon") from error
        except ChannelClosed as error:
            raise RequestRejected(503, "the server is about to end") from error

    async def _serve(self) -> None:
        """Begins to take connections."""
        config = self._config
        folder = quarantine_folder(self._log_dir) if self._log_dir is not None else None
        self._quarantine = Quarantine(folder, config, self._workers)
        self._quarantine.start()
        self._app = App(
            self._models, self._access, self._forward_to_supervisor, self._wake, config, self._quarantine
        )
        limit = round(config.max_body_mb * 1_000_000)
        budget = Budget(
            self._page.held(self._number),
            partial(self._page.all_held, self._workers),
            round(config.buffers_mb * 1_000_000),
        )
        self._http = HttpServer(self._app.handle, limit, config.read_timeout_seconds, budget)
        self._acceptor = Acceptor(self._listener, self._http, self._page, self._number, self._workers)
        self._acceptor.start()
        for model in self._models.values():
            model.start()
        self._tasks.add(asyncio.ensure_future(self._http.sweep()))

    async def _records(self, model: str) -> dict[str, Any]:
        return self._of(model).records()

    async def _values(self) -> list[list[Any]]:
        own = process_values()
        own = [*own, *self._memory.values(resident_memory(own))]
        if self._acceptor is not None:
            own = [*own, *self._app.unnamed.values()]
        return [*own, *(family for model in self._models.values() for family in model.metrics.values())]

    async def _drain(self) -> None:
        """Takes no more connections, answers what was accepted, and writes the logs to their end."""
        async with self._drained:
            acceptor, self._acceptor = self._acceptor, None
            if acceptor is None:  # it never served, or has been told before
                return
            self._app.ready = False
            self._http.draining = True  # answers say so from now on
            acceptor.stop()
            await acceptor.wait_idle()
            await self._http.drain(DRAIN_SECONDS)
            await asyncio.gather(*(model.end(LAST_SECONDS) for model in self._models.values()))
            await asyncio.get_running_loop().run_in_executor(None, self._quarantine.close)

    async def _forward_to_supervisor(self, request: Request) -> Response:
        """Has the supervisor answer."""
        if len(request.body) > ADMIN_BODY:
            problem = (
                f"the body has {len(request.body)} bytes; here at most {ADMIN_BODY} are taken, and no images"
            )
            raise RequestRejected(413, problem)
        try:
            body = request.body.decode("utf-8")
        except UnicodeDecodeError as error:
            raise RequestRejected(400, "the body is not UTF-8") from error
        if self._passed_on >= PASSED_ON:
            raise RequestRejected(503, f"{PASSED_ON} such requests are being answered; try again later")
        assert self._channel is not None
        about = {"method": request.method, "path": request.path, "query": request.query, "body": body}
        self._passed_on += 1
        try:
            answer = await self._channel.ask("handle", **about)
        except ChannelClosed as error:
            raise RequestRejected(503, "the server is about to end") from error
        finally:
            self._passed_on -= 1
        return Response(answer["status"], answer["body"].encode(), answer["type"])


async def _live(listener: int, channel: int, page: int, number: int) -> None:
    worker = Worker(socket.socket(fileno=listener), SharedPage(page), number)
    await worker.run(socket.socket(fileno=channel))


def main() -> None:
    """`python -m linnet.serving.worker LISTENER CHANNEL PAGE NUMBER`: descriptors, and its place."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    for interruption in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(
            interruption, signal.SIG_IGN
        )  # a terminal tells the whole group; the supervisor decides
    sys.setswitchinterval(0.001)
    uvloop.run(_live(*map(int, sys.argv[1:5])))


if __name__ == "__main__":
    main()
