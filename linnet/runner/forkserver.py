"""A process that has loaded what every run needs, and forks a worker for each.

`python -m linnet.runner.forkserver COMPILER MODULE...` is a process of its own because a server with
threads must not fork, and so that nothing that a run does can reach the server. It has one thread,
reads requests from its standard input, a JSON line each, and answers with a line. It ends when its
server does; workers that are under way go on.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from linnet.process.state import started_at
from linnet.run import runs
from linnet.runner import forked, run_worker


def run_forkserver(compiler: str, preload: Sequence[str]) -> None:
    """Answers until the input ends.

    `compiler`: module with the installation's PIPELINES and `compile_pipeline`. `preload`: modules that
    every run would import, loaded once.
    """
    for name in preload:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # ended workers leave no zombies
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is not an answer
    answers.write("ready\n")
    answers.flush()
    for line in sys.stdin:
        request = json.loads(line)
        answer = _worker(request, answers.fileno()) if "folder" in request else _configured(compiler)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _worker(request: dict[str, Any], answers: int) -> dict[str, Any]:
    """Forks a worker for a run; its process id and start time.

    Signals that would stop the run wait, from the worker's first moment, until it can hear them.
    """
    folder = Path(request["folder"])
    lock = runs.hold(folder)
    signal.pthread_sigmask(signal.SIG_BLOCK, run_worker.STOP_SIGNALS)
    pid = os.fork()
    if pid == 0:
        _become(folder, request, lock, answers)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, run_worker.STOP_SIGNALS)
    os.close(lock)
    return {"pid": pid, "started": started_at(pid) or 0}


def _become(folder: Path, request: dict[str, Any], lock: int, answers: int) -> NoReturn:
    code = 1
    try:
        os.setsid()
        forked.renew()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.close(answers)
        nothing = os.open(os.devnull, os.O_RDONLY)
        log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for target, source in ((0, nothing), (1, log), (2, log)):
            os.dup2(source, target)
        width, closing = int(request["width"]), str(request.get("closing", ""))
        run_worker.execute(folder, width, (lock,), closing, request["containers"])
        code = 0
    except KeyboardInterrupt:
        code = 130
    except BaseException:  # noqa: BLE001  the log is all that hears it
        import traceback

        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
        finally:  # a full disk refuses the last words
            os._exit(code)


def _configured(compiler: str) -> dict[str, Any]:
    """What this installation's pipelines would execute, by digest; compiled in a fork, from today's files."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        _tell_configured(compiler, write)
    os.close(write)
    with os.fdopen(read) as answer:
        text = answer.read()
    return json.loads(text) if text else {"error": "the configured pipelines cannot be compiled"}


def _tell_configured(compiler: str, write: int) -> NoReturn:
    try:
        import tempfile

        from linnet.config import parse_config
        from linnet.runner.spec import Spec

        installed = importlib.import_module(compiler)
        with tempfile.TemporaryDirectory() as scratch, os.fdopen(write, "w") as answer:
            digests = {}
            for name in installed.PIPELINES:
                file = installed.compile_pipeline(
                    name, parse_config({"name": "x"}), Path(scratch) / "pipeline.yaml"
                )
                digests[Spec.from_text(file.read_bytes()).code] = name
            answer.write(json.dumps(digests))
    except BaseException:  # noqa: BLE001  the server's log hears it
        import traceback

        traceback.print_exc()
    finally:
        os._exit(0)


if __name__ == "__main__":
    run_forkserver(sys.argv[1], sys.argv[2:])
