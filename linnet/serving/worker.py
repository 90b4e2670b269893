"""A worker process: its own event loop, ONNX sessions and connections; started by the supervisor only."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop

from linnet.config import ServingConfig
from linnet.errors import RequestRejected
from linnet.serving.acceptor import Acceptor
from linnet.serving.access import AccessControl
from linnet.serving.app import App
from linnet.serving.budget import Budget
from linnet.serving.fleet import Fleet, describe_predictor
from linnet.serving.http import HttpServer
from linnet.serving.log import PredictionLog
from linnet.serving.messages import Request, Response
from linnet.serving.metrics import Metrics
from linnet.serving.online import feature_source
from linnet.serving.router import RoutingTable
from linnet.serving.rpc import Channel, ChannelClosed
from linnet.serving.service import Service
from linnet.serving.shared import SharedPage

logger = logging.getLogger(__name__)
DRAIN_SECONDS = 20.0
ADMIN_BODY = 1 << 18
"""Bytes of a body that goes to the supervisor."""
PASSED_ON = 64
"""Requests that may wait for the supervisor's answer; more get 503."""


class Worker:
    """What a worker is made of, and how it answers the supervisor's questions."""

    def __init__(self, listener: socket.socket, page: SharedPage, number: int) -> None:
        self._listener, self._page, self._number = listener, page, number
        self._loading = asyncio.Lock()
        self._channel: Channel | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._acceptor: Acceptor | None = None
        self._drained = asyncio.Lock()
        self._passed_on = 0

    async def run(self, end: socket.socket) -> None:
        """Answers until the supervisor hangs up, or has drained this worker."""
        self._channel = await Channel.over(end, self._answer)
        await self._channel.closed.wait()
        await self._drain()  # the supervisor is dead, or done with this worker: what was answered is logged

    async def _answer(self, question: str, given: dict[str, Any]) -> Any:
        known: dict[str, Callable[..., Awaitable[Any]]] = {
            "configure": self._configure,
            "stage": self._stage,
            "keep": self._keep,
            "drop": self._drop,
            "unload": self._unload,
            "prepare": self._prepare,
            "serve": self._serve,
            "records": self._records,
            "metrics": self._values,
            "drain": self._drain,
        }
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
        self._workers = workers
        self._access = AccessControl(
            token, Path(keys) if keys is not None else None, self._config.require_key, self._page
        )
        named = self._config.feature_source
        self._fleet = Fleet(self._page, threads, lambda model: feature_source(named, model))
        self._log = PredictionLog(
            Path(log_dir) if log_dir is not None else None,
            max(1, self._config.log_queue // workers),
            self._config.log_images,
            self._config.log_image_blocks,
            round(self._config.log_queue_mb * 1_000_000 / workers),
            self._page.unlogged(self._number).add,
        )

    async def _stage(self, version: str, folder: str) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        async with self._loading:
            predictor = await loop.run_in_executor(None, self._fleet.stage, version, Path(folder))
        return describe_predictor(predictor)

    async def _keep(self, version: str) -> None:
        self._fleet.keep(version)
        if self._acceptor is not None:
            self._metrics.known(version)

    async def _drop(self, version: str) -> None:
        async with self._loading:  # what is still being loaded is dropped when it is there
            self._fleet.drop(version)

    async def _unload(self, version: str) -> None:
        self._fleet.unload(version)

    async def _prepare(self, generation: int, table: dict[str, Any]) -> None:
        self._fleet.prepare(generation, RoutingTable.parse(table))

    async def _serve(self, name: str) -> None:
        """Begins to take connections, for the model `name`."""
        config = self._config
        self._metrics = Metrics(name)
        self._log.start()
        self._service = Service(
            self._fleet,
            self._metrics,
            self._log,
            capacity=max(1, config.queue // self._workers),
            max_batch=config.max_batch,
            deadline=config.deadline_seconds,
        )
        self._app = App(name, self._service, self._metrics, self._access, self._forward_to_supervisor, config)
        limit = round(config.max_body_mb * 1_000_000)
        budget = Budget(
            self._page.held(self._number), self._page.all_held, round(config.buffers_mb * 1_000_000)
        )
        self._http = HttpServer(self._app.handle, limit, config.request_seconds, budget)
        self._acceptor = Acceptor(self._listener, self._http, self._page, self._number, self._workers)
        self._acceptor.start()
        for version in self._fleet.snapshot.predictors:
            self._metrics.known(version)
        self._tasks.add(asyncio.ensure_future(self._http.sweep()))

    async def _records(self) -> dict[str, Any]:
        """The served records since they were last asked for."""
        service = self._service
        page = {"lost": service.lost, "records": list(service.records)}
        service.lost = 0
        service.records.clear()
        return page

    async def _values(self) -> list[list[Any]]:
        return self._metrics.values()

    async def _drain(self) -> None:
        """Takes no more connections, answers what was accepted, and writes the log to its end."""
        async with self._drained:
            acceptor, self._acceptor = self._acceptor, None
            if acceptor is None:  # it never served, or has been told before
                return
            self._app.ready = False
            self._http.draining = True  # answers say so from now on
            acceptor.stop()
            await acceptor.wait_idle()
            await self._http.drain(DRAIN_SECONDS)
            await self._service.wait_idle()
            self._service.close()
            await asyncio.get_running_loop().run_in_executor(None, self._log.close)

    async def _forward_to_supervisor(self, request: Request) -> Response:
        """Has the supervisor answer."""
        if len(request.body) > ADMIN_BODY:
            raise RequestRejected(413, f"the body is larger than {ADMIN_BODY} bytes")
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
    for interruption in (signal.SIGINT, signal.SIGTERM):
        signal.signal(
            interruption, signal.SIG_IGN
        )  # a terminal tells the whole group; the supervisor decides
    sys.setswitchinterval(0.001)
    uvloop.run(_live(*map(int, sys.argv[1:5])))


if __name__ == "__main__":
    main()
