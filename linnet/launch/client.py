"""Speaks to a Kubeflow Pipelines API: this machine's engine, started where none runs, or a cluster's.

Everything goes through the SDK's own client, so that a laptop and a cluster are called alike.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from linnet.config import EngineConfig
from linnet.errors import RunError, StorageError
from linnet.process import background
from linnet.process.engine import EngineState, engine_dir, engine_state_file, owner_token, token

KEY_HEADER = "Idempotency-Key"


@dataclass(frozen=True)
class Host:
    """A KFP API to speak to."""

    url: str
    engine: EngineState | None = None
    """This machine's engine, if it is that."""
    started_here: bool = False
    """Whether this process started it."""
    config: EngineConfig = field(default_factory=EngineConfig)
    """How another one is started in the place of one that was killed."""

    def client(self) -> Any:
        """The SDK's client for it.

        Raises:
            RunError: it does not answer.
        """
        import kfp

        with silence_sdk(), translate_api_errors(self.url):
            client = kfp.Client(host=self.url, existing_token=self.token() or None)
            client._healthz_api.healthz_service_get_healthz()
        return client

    @property
    def is_this_machine(self) -> bool:
        """Whether it is this machine's own engine, also where somebody named it by its address."""
        own = self.engine or running_engine()
        return own is not None and own.url == self.url

    def token(self) -> str:
        """The bearer token that it is sent: the owner's, which goes to nobody but this machine's own engine.

        Raises:
            StorageError: others may have read or written the owner's token.
        """
        return owner_token() if self.is_this_machine else token()

    def headers(self) -> dict[str, str]:
        """The headers by which it knows who calls."""
        return {"Authorization": f"Bearer {self.token()}"} if self.token() else {}

    def keep_alive(self) -> None:
        """Lets an engine that a run started stay when no run is left."""
        self._tell("keep-alive")

    def release(self) -> None:
        """Lets an engine that was started here end, if nobody else uses it, and waits for it.

        Also one that this process started in the place of a killed one.
        """
        if self.engine is None:
            return
        state = running_engine()
        if state is None or state.pid not in _started:
            return
        Host(state.url)._tell("exit-when-idle")
        until = time.monotonic() + background.STOP_SECONDS
        while state.is_running() and time.monotonic() < until and not self._used():
            time.sleep(0.02)

    def _tell(self, word: str) -> None:
        import httpx

        with contextlib.suppress(httpx.HTTPError):
            httpx.post(f"{self.url}/linnet/v1/{word}", headers=self.headers(), timeout=5)

    def _used(self) -> bool:
        """Whether somebody else's run is under way on it."""
        from linnet.run import runs

        return bool(runs.alive_folders())


_started: set[int] = set()
"""Process ids of the engines that this process started."""


def host_of(config: EngineConfig, host: str = "") -> Host:
    """The API to run on: the one that is named, or else this machine's, started if need be."""
    url = host or config.host
    return Host(url.rstrip("/")) if url else local_engine(config)


@contextlib.contextmanager
def temporary_host(config: EngineConfig, host: str = "") -> Iterator[Host]:
    """`host_of` for one command: an engine that it starts ends with it, unless somebody else uses it."""
    where = host_of(config, host)
    try:
        yield where
    finally:
        where.release()


def running_engine() -> EngineState | None:
    """This machine's engine, if it runs."""
    return EngineState.read(engine_state_file())


def local_engine(config: EngineConfig, fresh_port: bool = True, until_idle: bool = True) -> Host:
    """This machine's engine; started if none runs.

    Args:
        config: how to start it.
        fresh_port: take a free port, as nobody needs to know it.
        until_idle: let it end by itself when no run is left.

    Raises:
        RunError: it cannot be started, or works for another folder.
    """
    running = running_engine()
    if running is not None:
        return Host(_of_this_folder(running).url, running, config=config)
    settings = config.model_copy(update={"port": 0}) if fresh_port else config
    command = [sys.executable, "-m", "linnet.engine", "--config-json", settings.model_dump_json()]
    command += ["--until-idle"] if until_idle else []
    output = engine_dir() / "engine.log"
    process, state = background.start(command, output, read_state=_listening, error_for=_failed)
    if state.pid == process.pid:
        _started.add(state.pid)
    return Host(state.url, state, started_here=state.pid == process.pid, config=config)


def stop_engine() -> bool:
    """Stops this machine's engine, and interrupts the runs that are under way; whether there was one.

    Raises:
        RunError: it does not end.
    """
    state = running_engine()
    if state is None:
        return False
    from linnet.run import runs
    from linnet.runner import worker_pool

    under_way = runs.alive_folders()
    for folder in under_way:
        worker_pool.interrupt(folder)
    os.kill(state.pid, signal.SIGTERM)
    state.wait_for_end("the engine")
    for folder in runs.alive_folders():
        if folder not in under_way:  # the engine was just starting its worker
            worker_pool.interrupt(folder)
            under_way.append(folder)
    until = time.monotonic() + background.STOP_SECONDS
    for folder in under_way:
        while runs.alive(folder) and time.monotonic() < until:
            time.sleep(0.05)
        worker_pool.end(folder)
    return True


@contextlib.contextmanager
def translate_api_errors(url: str) -> Iterator[None]:
    """Around calls of the SDK's client: what goes wrong with them becomes one message.

    Raises:
        RunError: the API refused, or cannot be reached; it says what the API said.
    """
    import json

    import kfp_server_api
    import urllib3

    try:
        yield
    except kfp_server_api.ApiException as error:
        said = str(error.body or error.reason)
        with contextlib.suppress(ValueError, KeyError, TypeError):
            said = str(json.loads(said)["message"])
        raise RunError(said if error.status else f"{url} does not answer: {said}") from error
    except (urllib3.exceptions.HTTPError, TimeoutError, OSError) as error:
        raise RunError(f"{url} does not answer: {error}") from error


@contextlib.contextmanager
def silence_sdk() -> Iterator[None]:
    """Around calls of the SDK's client, which prints addresses of a web page and warns of its age."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def _of_this_folder(state: EngineState) -> EngineState:
    here = str(Path.cwd())
    if state.folder != here:
        raise RunError(
            f"this state folder's engine works in {state.folder}, so that a config's relative paths would "
            f"mean something else there: work in that folder, or stop the engine with `linnet down`"
        )
    return state


def _listening(process: background.Process) -> EngineState | None:
    state = running_engine()
    if state is not None and (state.pid == process.pid or process.poll() is not None):
        return _of_this_folder(state)  # another command may have started one at the same moment
    return None


def _failed(said: str) -> RunError | StorageError | None:
    from linnet.run import ending

    if "works on" in said:
        return None  # this one lost the race: the other's state file comes
    if not said and ending.disk_full(engine_dir()):
        return StorageError(f"{engine_dir()}: the engine cannot start: {ending.FULL}")
    return RunError(said or "the engine exited without output")
