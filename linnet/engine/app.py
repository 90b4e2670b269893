"""The engine as a web application: a factory, so that a console can be added to the same one."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from linnet.automation.abandoned_rollouts import AbandonedRollouts
from linnet.automation.bake import PromotionWatch
from linnet.automation.interrupted_moves import InterruptedMoves
from linnet.automation.metrics import exposition
from linnet.automation.mlflow_sync import MlflowSync
from linnet.automation.retraining import RetrainingSubmitter
from linnet.config import EngineConfig
from linnet.engine.api import experiments, pipelines, recurring, runs
from linnet.engine.api.request import Engine, engine_of
from linnet.engine.api_errors import ApiError, Reason
from linnet.engine.catalog import PipelineCatalog
from linnet.engine.preload import COMPILER, PRELOAD
from linnet.engine.recurring import Recurring
from linnet.engine.security import Guard, GuardMiddleware
from linnet.engine.store import ResourceStore
from linnet.engine.submission import Submissions
from linnet.engine.supervisor import RunSupervisor
from linnet.errors import LinnetError, RunError, StorageError
from linnet.retraining.known_models import known_models
from linnet.retraining.webhook import retraining_router, webhook_token
from linnet.retraining.wiring import trigger_of_model
from linnet.runner.worker_pool import Workers
from linnet.storage.files import translate_storage

_REASONS: dict[int, Reason] = {404: "NOT_FOUND", 405: "UNIMPLEMENTED", 413: "INVALID_ARGUMENT"}


def build_engine(folder: Path, config: EngineConfig) -> Engine:
    """The parts of an engine that keeps its index in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    store = ResourceStore(folder / "engine.db")
    pool = Workers(folder / "workers.log", COMPILER, PRELOAD)
    supervisor = RunSupervisor(store, pool, config)
    library = PipelineCatalog(store, pool, config)
    submissions = Submissions(store, library, supervisor, config)
    rerunning = Recurring(store, submissions)
    supervisor.every_second.append(rerunning.tick)
    retraining = RetrainingSubmitter()
    supervisor.every_second.append(retraining.tick)
    supervisor.also_busy.append(retraining.busy)
    supervisor.every_second.append(AbandonedRollouts().tick)
    supervisor.every_second.append(InterruptedMoves().tick)
    supervisor.every_second.append(PromotionWatch().tick)
    mirror = MlflowSync(folder / "mirror.log")
    if config.mirror_runs:
        supervisor.after_run.append(mirror.start)
    return Engine(config, store, supervisor, library, submissions, rerunning, mirror)


def create_app(engine: Engine, guard: Guard) -> FastAPI:
    """The application; it starts the engine's supervisor with itself and ends it with itself."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        engine.library.default_experiment()
        engine.supervisor.start()
        threading.Thread(target=engine.supervisor.pool.prepare, daemon=True).start()
        yield
        engine.supervisor.stop()
        engine.supervisor.pool.close()
        if not engine.idle.is_set():
            engine.mirror.stop()
        with contextlib.suppress(StorageError):  # what it could not write now stands in its log
            engine.store.close()

    app = FastAPI(title="Linnet engine", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.state.engine = engine
    app.add_middleware(GuardMiddleware, guard=guard)
    for part in (runs, pipelines, experiments, recurring):
        app.include_router(part.router)
    app.include_router(
        retraining_router(
            guard.token or webhook_token(), trigger_of_model, lambda: exposition(known_models())
        )
    )
    app.add_api_route("/apis/v2beta1/healthz", _health)
    app.add_api_route("/apis/v2beta1/auth", _authorized)
    app.add_api_route("/linnet/v1/keep-alive", _keep_alive, methods=["POST"])
    app.add_api_route("/linnet/v1/exit-when-idle", _exit_when_idle, methods=["POST"])
    app.add_exception_handler(LinnetError, _refused)
    app.add_exception_handler(HTTPException, _unknown)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _broken)
    return app


def _health() -> dict[str, Any]:
    return {"multi_user": False, "pipeline_store": "database"}


def _authorized() -> dict[str, Any]:
    return {}


def _keep_alive(request: Request) -> dict[str, Any]:
    """An engine that `linnet run` started does not end by itself any more."""
    engine_of(request).keep_alive.set()
    return {}


def _exit_when_idle(request: Request) -> dict[str, Any]:
    """An engine that `linnet run` started ends now, if nothing is under way; any other does not care."""
    engine_of(request).exit_when_idle.set()
    return {}


async def _refused(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, ApiError):
        storage = isinstance(error, StorageError) and not isinstance(error, RunError)
        error = ApiError("INTERNAL" if storage else "INVALID_ARGUMENT", str(error))
    return JSONResponse(error.body(), error.status)


async def _unknown(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    reason = _REASONS.get(error.status_code, "INVALID_ARGUMENT")
    told = "Not Found" if error.status_code == 404 else str(error.detail)
    return JSONResponse(ApiError(reason, told).body(), error.status_code)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    problem = first["msg"].removeprefix("Value error, ")
    return JSONResponse(ApiError("INVALID_ARGUMENT", f"{where}: {problem}").body(), 400)


async def _broken(_: Request, error: Exception) -> JSONResponse:
    told = translate_storage(error) if isinstance(error, OSError) else error
    said = str(told) if isinstance(told, StorageError) else f"{type(error).__name__}: {error}"
    return JSONResponse(ApiError("INTERNAL", said).body(), 500)
