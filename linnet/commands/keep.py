"""The process beside `linnet up`: starts again what ended, has every window of what is served
judged, and collects answers once people are asked.

`python -m linnet.commands.keep`; `linnet up` starts it and `linnet down` ends it before all others.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from linnet.commands.serve import start_detached
from linnet.config import EngineConfig
from linnet.console.process import CONSOLE
from linnet.errors import LinnetError
from linnet.launch.client import local_engine, running_engine
from linnet.process import background
from linnet.process.engine import EngineState, engine_state_file
from linnet.process.model_server import ServerState
from linnet.process.state import ProcessState
from linnet.process.watchdog import Watchdog
from linnet.records.restarts import write_restart
from linnet.storage.paths import server_state_file, state_dir

logger = logging.getLogger(__name__)
LOOK_SECONDS = 1.0
WATCH_SECONDS = 60.0
"""Between two looks for served models whose windows nobody judges, and for questions that people got."""
_STOP_SECONDS = 10.0


def keeper_state_file() -> Path:
    """The file in which the keeper says that it runs."""
    return state_dir() / "keeper" / "keeper.json"


def keeper_runs() -> bool:
    """Whether one runs; `linnet down` ends it first of all."""
    return ProcessState.read(keeper_state_file()) is not None


def start_keeper(
    configs: list[Path], engine: EngineConfig, *, parts: bool, server: bool, windows: bool, labels: bool
) -> bool:
    """Starts it, if none runs; whether it did.

    Args:
        configs: those that `linnet up` was given: a server is started with them again.
        engine: how the engine is started again.
        parts: whether anything is to be started again.
        server: whether the server is its to keep, too; one in a terminal is that terminal's.
        windows: whether windows are to be judged by themselves.
        labels: whether answers are to be collected once people are asked.

    Raises:
        LinnetError: it did not start.
    """
    if keeper_runs():
        return False
    command = [sys.executable, "-m", "linnet.commands.keep", "--engine-json", engine.model_dump_json()]
    command += [word for path in configs for word in ("--config", str(path))]
    flags = {"--parts": parts, "--server": server, "--windows": windows, "--labels": labels}
    command += [flag for flag, wanted in flags.items() if wanted]

    def read_state(process: background.Process) -> ProcessState | None:
        state = ProcessState.read(keeper_state_file())
        return state if state is not None and state.pid == process.pid else None

    background.start(
        command, keeper_state_file().with_name("keeper.log"), read_state=read_state,
        error_for=lambda said: LinnetError(f"what ends is not started again: {said or 'the keeper ended'}"),
    )  # fmt: skip
    return True


def stop_keeper() -> bool:
    """Ends it, before what it keeps is ended; whether there was one.

    Raises:
        LinnetError: it does not end.
    """
    state = ProcessState.read(keeper_state_file())
    if state is None:
        return False
    os.kill(state.pid, signal.SIGTERM)
    if not state.wait_for_exit(_STOP_SECONDS):
        os.kill(state.pid, signal.SIGKILL)  # it may hang in a start; what it starts is ended by its own name
        state.wait_for_exit(_STOP_SECONDS)
    keeper_state_file().unlink(missing_ok=True)
    return True


def port_of(url: str) -> int:
    """The port that people know: a part that is started again answers where it did."""
    return urlsplit(url).port or 0


def watchdog(configs: list[Path], engine: EngineConfig, server: bool) -> Watchdog:
    """Engine, console and, if asked, server of this state folder."""
    served: list[ServerState] = []
    """What the server said last: a start that fails leaves no state file, nor word of models and port."""

    def start_engine() -> None:
        last = EngineState.last(engine_state_file())
        port = port_of(last.url) if last else 0
        local_engine(
            engine.model_copy(update={"port": port}), fresh_port=False, until_idle=False
        ).keep_alive()

    def start_console() -> None:
        last = EngineState.last(CONSOLE.state_file)
        CONSOLE.start("--port", str(port_of(last.url) if last else 0))

    def start_server() -> None:
        if (said := ServerState.last(server_state_file())) is not None:
            served[:] = [said]
        last = served[0] if served else None
        start_detached(last.wanted if last else [], configs, port_of(last.url) if last else 0)

    alive, start = {}, {}
    if server:  # the first to be started: users wait for it
        alive["server"] = lambda: ServerState.read(server_state_file()) is not None
        start["server"] = start_server
    alive |= {
        "engine": lambda: running_engine() is not None,
        "console": lambda: CONSOLE.running() is not None,
    }
    start |= {"engine": start_engine, "console": start_console}
    return Watchdog(alive, start, tell)


def tell(part: str, attempt: int, problem: str) -> None:
    """Writes a restart down: in the log, and where metrics, console and `linnet status` look."""
    result = f"did not start: {problem}" if problem else "was started again"
    logger.warning("the %s ended and %s (attempt %d)", part, result, attempt)
    with suppress(OSError):  # a full disk keeps nothing from being started
        write_restart(part, attempt, problem)


def watch_windows() -> None:
    """Has the engine judge every window of each model that is served; what is watched stays as it is."""
    from linnet.automation.monitoring_schedule import watch_served

    running = ServerState.read(server_state_file())
    if running is None or running_engine() is None:
        return
    watched, problems = watch_served(running.models or [], "linnet up")
    for model in watched:
        logger.info("every window of %s is judged from now on", model)
    for problem in problems:
        logger.warning(problem)


def collect_answers(configs: list[Path]) -> None:
    """Starts the label service of each config of which people are asked by now, and that has none."""
    from linnet.commands.label_services import start_label_service

    for path in configs:
        try:
            if (url := start_label_service(path)) is not None:
                logger.info("answers about %s are collected; their metrics are at %s", path, url)
        except LinnetError as error:
            logger.warning("answers about %s are not collected: %s", path, error)


def main() -> None:
    """Runs until SIGTERM."""
    words = argparse.ArgumentParser("linnet.commands.keep")
    words.add_argument("--config", action="append", type=Path, default=[])
    words.add_argument("--engine-json", required=True)
    words.add_argument("--parts", action="store_true")
    words.add_argument("--server", action="store_true")
    words.add_argument("--windows", action="store_true")
    words.add_argument("--labels", action="store_true")
    given = words.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)

    def end(*_: object) -> NoReturn:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keeper_state_file().parent.mkdir(parents=True, exist_ok=True)
    ProcessState.of(os.getpid(), "").write(keeper_state_file())
    watched = watchdog(given.config, EngineConfig.model_validate_json(given.engine_json), given.server)
    next_watch = 0.0
    while True:
        if given.parts:
            watched.tick(time.monotonic())
        if time.monotonic() >= next_watch:
            next_watch = time.monotonic() + WATCH_SECONDS
            if given.windows:
                watch_windows()
            if given.labels:
                collect_answers(given.config)
        time.sleep(LOOK_SECONDS)


if __name__ == "__main__":
    main()
