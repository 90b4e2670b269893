"""The supervisor: holds the port, starts workers and replaces those that end, and loses no request."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import secrets
import signal
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from linnet.artifacts.onnx_model import read_package
from linnet.config import ServingConfig
from linnet.errors import RequestRejected, ServingError
from linnet.process.cpus import available_cpus
from linnet.process.model_server import ServerState
from linnet.serving.admin import Admin
from linnet.serving.feedback import Feedback
from linnet.serving.messages import Request, Response
from linnet.serving.models import Models
from linnet.serving.retention import keep_images_for
from linnet.serving.shared import MAX_WORKERS, SharedPage
from linnet.serving.workers import WorkerSettings, WorkerSlot

logger = logging.getLogger(__name__)
BACKLOG = 4096


@dataclass(frozen=True, slots=True)
class ModelLaunch:
    """One model that a server is started with."""

    package: Path
    version: str
    name: str | None = None
    """Name in the addresses; None: the package's."""
    config: ServingConfig | None = None
    """Its own limits (queue, batch, pixels, log); None: the server's."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What one server is started with."""

    models: tuple[ModelLaunch, ...]
    config: ServingConfig
    state_file: Path | None
    log_dir: Path | None
    parent: int | None = None
    """Process that started the server and without which it ends; None: it runs on its own."""
    keys: Path | None = None
    """File of API keys; None: there are none."""
    unserved: Mapping[str, str] = field(default_factory=dict)
    """Models that were to be served too and of which no package was found, with why: the state file tells."""


def serve(launch: Launch) -> None:
    """Serves until SIGTERM, SIGINT or SIGHUP; then drains, flushes the log and returns.

    Raises:
        ServingError: none of the packages can be served, or the port is taken.
    """
    config = launch.config
    holder = hold_port(config.host, config.port)  # before the model, so that a taken port is told at once
    with holder:
        try:
            if launch.log_dir is not None:
                launch.log_dir.mkdir(parents=True, exist_ok=True)
            asyncio.run(WorkerSupervisor(launch, holder).run())
        except OSError as error:  # the log folder or the state file
            where = error.filename or launch.state_file or launch.log_dir
            raise ServingError(
                f"cannot write {where}: {error.strerror}; free some space, or change its permissions"
            ) from error


def hold_port(host: str, port: int) -> socket.socket:
    """Binds, without listening, the port that the server will listen on; 0 takes a free one.

    Raises:
        ServingError: the port is taken, or the address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    holder = socket.socket(family, socket.SOCK_STREAM)
    try:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((host, port))
    except OSError as error:
        holder.close()
        if error.errno == errno.EADDRINUSE:
            raise ServingError(
                f"port {port} of {host} is taken: stop what has it (`linnet down` if it is Linnet), "
                "or choose another port with --port (0 takes a free one)"
            ) from error
        raise ServingError(f"cannot bind port {port} of {host}: {error.strerror or error}") from error
    return holder


def layout(config: ServingConfig) -> tuple[int, int]:
    """Worker processes, and ONNX Runtime threads a session, for this machine's cores."""
    cores = available_cpus()
    workers = min(config.workers or cores, MAX_WORKERS)
    return workers, config.threads or max(1, cores // workers)


class WorkerSupervisor:
    """Starts the workers, answers what concerns them all, and ends them."""

    def __init__(self, launch: Launch, holder: socket.socket) -> None:
        self._launch, self._holder = launch, holder
        self._token = secrets.token_urlsafe(24)
        self._models = Models(
            SharedPage.create(),
            lease_seconds=launch.config.lease_seconds,
            isolate=launch.config.isolate,
            memory_mb=launch.config.memory_mb,
            expected=len(launch.models),
        )
        self._feedback = Feedback(
            launch.log_dir, launch.config.feedback_labels, launch.config.feedback_mb * 1_000_000
        )
        self._admin: Admin | None = None
        self._models.unserved.update(launch.unserved)
        self._told: tuple[list[str], dict[str, str]] | None = None
        """The models that the state file names."""
        self._ending = asyncio.Event()
        self._slots: list[WorkerSlot] = []
        self._tasks: list[asyncio.Task[Any]] = []

    async def run(self) -> None:
        """Serves until a signal, and drains.

        Raises:
            ServingError: none of the packages can be served.
        """
        launch, loop = self._launch, asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # `nohup`
                loop.add_signal_handler(number, self._ending.set)
        if launch.parent is not None:
            self._tasks.append(asyncio.ensure_future(_end_with(launch.parent, self._ending.set)))
        try:
            await self._start()
            self._write_state()
            for name, control in sorted(self._models.controls.items()):
                served = control.table.champion or "that its first request loads"
                logger.info("serving %s version %s at %s", name, served, self._url())
            await self._ending.wait()
        finally:
            await self._stop()
            if launch.state_file is not None:
                launch.state_file.unlink(missing_ok=True)
        logger.info("stopped")

    async def _start(self) -> None:
        launch = self._launch
        workers, threads = layout(launch.config)
        settings = WorkerSettings(launch.config, workers, threads, self._token, launch.keys, launch.log_dir)
        self._slots = [
            WorkerSlot(i, self._holder, self._models, settings, self._answer) for i in range(workers)
        ]
        for slot in self._slots:
            self._models.page.set_connections(slot.number, 1 << 40)  # not there yet
        await asyncio.gather(*(slot.start() for slot in self._slots))
        await self._load()
        self._admin = Admin(self._models, self._feedback)
        self._holder.listen(BACKLOG)
        await asyncio.gather(*(slot.serve() for slot in self._slots))
        self._tasks += [asyncio.ensure_future(slot.watch()) for slot in self._slots]
        if launch.log_dir is not None:
            keeping = keep_images_for(
                launch.log_dir,
                self._models.image_days,
                launch.config.log_image_days,
                launch.config.log_images_mb * 1e6,
            )
            self._tasks.append(asyncio.ensure_future(keeping))

    async def _load(self) -> None:
        """Loads the models; one that cannot be served keeps no other from being served."""
        problems: list[str] = []
        for model in self._launch.models:
            try:
                name = model.name or read_package(model.package).name
                settings = model.config or self._launch.config
                await self._models.serve(name, model.version, model.package, settings, may_sleep=True)
            except ServingError as error:
                said = error.problem if isinstance(error, RequestRejected) else str(error)
                self._models.unserved[model.name or str(model.package)] = said
                problems.append(said if len(self._launch.models) == 1 else f"model {model.name}: {said}")
        if not self._models.controls:
            raise ServingError("; ".join(problems))
        for problem in problems:
            logger.error("%s; it is not served", problem)

    async def _stop(self) -> None:
        """Drains the workers and waits for them."""
        for task in self._tasks:
            task.cancel()
        self._holder.close()  # the workers have theirs, and close them when nothing waits there any more
        await asyncio.gather(*(slot.stop() for slot in self._slots))
        self._feedback.close()

    async def _answer(self, question: str, given: dict[str, Any]) -> dict[str, Any]:
        """What a worker passes on."""
        if question == "wake":
            await self._models.wake(given["model"])
            return {}
        assert question == "handle"
        if self._admin is None:
            raise RequestRejected(503, "the server is about to start")
        request = Request(given["method"], given["path"], given["query"], {}, given["body"].encode())
        try:
            response: Response = await self._admin.handle(request)
        finally:  # a model that could not be opened was there for a while, too
            try:
                self._write_state()
            except OSError as error:
                logger.warning("%s cannot be written: %s", self._launch.state_file, error)
        return {"status": response.status, "body": response.body.decode(), "type": response.content_type}

    def _write_state(self) -> None:
        """Says in the state file what is served, and what could not be, wherever that has changed."""
        names = sorted(self._models.controls)
        for name in names:
            self._models.unserved.pop(name, None)
        told = (names, dict(self._models.unserved))
        if self._launch.state_file is not None and told != self._told:
            ServerState.of(os.getpid(), self._url(), self._token, *told).write(self._launch.state_file)
            self._told = told

    def _url(self) -> str:
        host, port = self._holder.getsockname()[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"


async def _end_with(parent: int, stop: Callable[[], None]) -> None:
    """Stops when the parent is gone: a release that is killed must not leave its server behind."""
    while os.getppid() == parent:
        await asyncio.sleep(0.5)
    logger.info("the process that started the server is gone")
    stop()
