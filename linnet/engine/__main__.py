"""The engine's process: `python -m linnet.engine`. `linnet up` and `linnet run` start it."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import sys
import threading
import time
from pathlib import Path

import uvicorn

from linnet.config import EngineConfig
from linnet.engine.api.request import Engine
from linnet.engine.app import build_engine, create_app
from linnet.engine.security import Guard
from linnet.errors import LinnetError, RunError
from linnet.process.engine import EngineState, engine_dir, engine_state_file, owner_token, token
from linnet.process.web import listen, url_of, web_server
from linnet.storage.files import translate_storage
from linnet.storage.paths import state_dir
from linnet.storage.private import UMASK, make_private

IDLE_SECONDS = 60.0
"""How long an engine that `linnet run` started waits for another run before it ends."""


def main() -> int:
    """Serves until it is told to end."""
    parser = argparse.ArgumentParser(description="The Kubeflow Pipelines API of this machine.")
    parser.add_argument("--config-json", default="{}", help="the [engine] section as JSON")
    parser.add_argument("--until-idle", action="store_true", help="end when no run is left")
    words = parser.parse_args()
    try:
        return _serve(EngineConfig.model_validate_json(words.config_json), words.until_idle)
    except (LinnetError, OSError) as error:
        _tell(translate_storage(error) if isinstance(error, OSError) else error)
        return 1


def _tell(error: Exception) -> None:
    """Says why the engine ends; on a full disk nobody may hear it."""
    with contextlib.suppress(OSError):
        print(f"error: {error}", file=sys.stderr, flush=True)


def _serve(config: EngineConfig, until_idle: bool) -> int:
    os.umask(UMASK)
    make_private(state_dir())
    folder = engine_dir()
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RunError(f"an engine works on {folder} already: `linnet down` stops it") from None
    guard = Guard.of(config.bind, config.allowed_hosts, token(), config.max_upload_mb, owner_token())
    listening = listen("engine", config.bind, config.port, "choose another engine.port")
    engine = build_engine(folder, config)
    server = web_server(create_app(engine, guard))
    state = EngineState.of(os.getpid(), url_of(listening, config.bind), str(Path.cwd()))
    threading.Thread(target=_announce, args=(server, state), daemon=True).start()
    if until_idle:
        threading.Thread(target=_end_when_idle, args=(server, engine), daemon=True).start()
    try:
        server.run(sockets=[listening])
    finally:
        if EngineState.read(engine_state_file()) == state:
            engine_state_file().unlink(missing_ok=True)
    return 0


def _announce(server: uvicorn.Server, state: EngineState) -> None:
    """Says where the engine is, once it answers."""
    while not server.started:
        time.sleep(0.005)
    try:
        state.write(engine_state_file())
    except OSError as error:  # nobody would find it
        _tell(translate_storage(error, engine_state_file()))
        server.should_exit = True


def _end_when_idle(server: uvicorn.Server, engine: Engine) -> None:
    """Ends the server when nothing is under way, nothing waits and nothing recurs."""
    while not server.started:
        time.sleep(0.05)
    idle = 0.0
    while idle < IDLE_SECONDS:
        hurried = engine.exit_when_idle.wait(0.25)
        if engine.keep_alive.is_set():
            return
        if engine.supervisor.busy() or engine.store.where("recurring", status="ENABLED"):
            idle = 0.0
            engine.exit_when_idle.clear()
        else:
            idle += IDLE_SECONDS if hurried else 0.25
    engine.idle.set()
    server.should_exit = True


if __name__ == "__main__":
    sys.exit(main())
