"""A process that has loaded what every run needs, and forks a worker for each.

`python -m linnet.runner.forkserver` is a process of its own because a server with threads must not fork,
and so that nothing that a run does can reach the server. It has one thread, reads requests from its
standard input, a JSON line each, and answers with a line. It ends when its server does; workers that
are under way go on.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

from linnet.process.state import started_at
from linnet.run import runs

_LOADED = (
    "encodings.ascii",
    "google.protobuf.json_format",
    "kfp.dsl.executor_main",
    "kfp.local.executor_input_utils",
    "kfp.local.executor_output_utils",
    "kfp.local.importer_handler",
    "kfp.local.placeholder_utils",
    "linnet.config",
    "linnet.data.ingest",
    "linnet.data.validate",
    "linnet.deployment.release",
    "linnet.runner.run_worker",
    "linnet.features.build",
    "linnet.labels.collect",
    "linnet.labels.export_after_run",
    "linnet.labels.request",
    "linnet.registry.connect",
    "linnet.registry.run_mirror",
    "linnet.run.step",
    "pandas",
)
"""What steps import before they know whether there is anything to do: a cached one then costs a fork."""


def run_forkserver() -> None:
    """Answers until the input ends."""
    import importlib

    for name in _LOADED:
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
        answer = _worker(request, answers.fileno()) if "folder" in request else _configured()
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _worker(request: dict[str, Any], answers: int) -> dict[str, Any]:
    """Forks a worker for a run; its process id and start time."""
    folder = Path(request["folder"])
    lock = runs.hold(folder)
    pid = os.fork()
    if pid == 0:
        _become(folder, int(request["width"]), lock, answers)
    os.close(lock)
    return {"pid": pid, "started": started_at(pid) or 0}


def _become(folder: Path, width: int, lock: int, answers: int) -> NoReturn:
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.close(answers)
        nothing = os.open(os.devnull, os.O_RDONLY)
        log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for target, source in ((0, nothing), (1, log), (2, log)):
            os.dup2(source, target)
        from linnet.runner import run_worker

        run_worker.execute(folder, width, (lock,))
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


def _configured() -> dict[str, Any]:
    """What this installation's pipelines would execute, by digest; compiled in a fork, from today's files."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        _tell_configured(write)
    os.close(write)
    with os.fdopen(read) as answer:
        text = answer.read()
    return json.loads(text) if text else {"error": "the configured pipelines cannot be compiled"}


def _tell_configured(write: int) -> NoReturn:
    try:
        import tempfile

        from linnet.config import parse_config
        from linnet.runner.spec import Spec
        from pipelines.compile import PIPELINES, compile_pipeline

        with tempfile.TemporaryDirectory() as scratch, os.fdopen(write, "w") as answer:
            digests = {}
            for name in PIPELINES:
                file = compile_pipeline(name, parse_config({"name": "x"}), Path(scratch) / "pipeline.yaml")
                digests[Spec.from_text(file.read_bytes()).code] = name
            answer.write(json.dumps(digests))
    except BaseException:  # noqa: BLE001  the server's log hears it
        import traceback

        traceback.print_exc()
    finally:
        os._exit(0)


if __name__ == "__main__":
    run_forkserver()
