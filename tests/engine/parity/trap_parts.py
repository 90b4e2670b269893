"""Components of the parity suite's second half, which set the traps."""

# No `from __future__ import annotations`: kfp reads the annotations themselves.
from typing import Any, Dict, List, NamedTuple

from kfp import dsl

from tests.engine.parity.parts import component


@component
def random_numbers() -> List[float]:
    """A number of each source that a task may draw from without a seed."""
    import random

    drawn = [random.random()]
    try:
        import numpy

        drawn += [float(numpy.random.uniform()), float(numpy.random.default_rng().uniform())]
    except ImportError:  # the image of a cluster need not have it
        pass
    return drawn


@component
def all_differ(rows: List[List[float]]) -> None:
    for column in zip(*rows, strict=True):
        assert len(set(column)) == len(column), rows


@component
def ends_without_a_word() -> int:
    """Its process ends well and wrote no output."""
    import os

    os._exit(0)


@component
def statistics() -> float:
    """A component whose name is that of a module that its own body needs."""
    from statistics import mean

    return mean([1.0, 2.0])


@component
def random() -> int:
    from random import Random

    return Random(1).randint(1, 1)


@component
def types() -> str:
    import colorsys
    import enum

    return enum.Enum("Colors", "red").red.name + str(colorsys.rgb_to_hsv(0, 0, 0)[0])


@component
def weight(box: dict) -> float:
    return box["kg"] * box["count"]


@component
def largest(values: list) -> int:
    return max(values)


@component
def with_null() -> Dict[str, Any]:
    return {"nothing": None, "list": [None, 1], "real": 0.5}


@component
def size() -> NamedTuple("Size", [("cpu", str), ("memory", str)]):  # type: ignore[valid-type]
    from collections import namedtuple

    return namedtuple("Size", ["cpu", "memory"])("1", "1G")


@component
def write_elsewhere(content: str, out: dsl.Output[dsl.Dataset]) -> None:
    out.set_path(out.path + "_elsewhere.csv")
    with open(out.path, "w") as file:
        file.write(content)


@component
def write_folder_elsewhere(out: dsl.Output[dsl.Dataset]) -> None:
    import os
    import tempfile

    out.custom_path = os.path.join(tempfile.mkdtemp(), "of my own")
    os.makedirs(out.custom_path)
    for name in ("a", "b"):
        with open(os.path.join(out.custom_path, name), "w") as file:
            file.write(name)


@component
def log_metric(value: str, metrics: dsl.Output[dsl.Metrics]) -> None:
    metrics.log_metric("loss", float(value))


@component
def real_of(text: str) -> float:
    return float(text)


@component
def struct_of(text: str) -> Dict[str, float]:
    return {"real": float(text)}


@component
def damages_its_output(out: dsl.Output[dsl.Dataset]) -> None:
    import os

    with open(os.path.join(os.path.dirname(out.path), "executor_output.json"), "w") as file:
        file.write('{"parameterValues": {')
    os._exit(0)


@component
def starts_a_process(file: str) -> None:
    """The interpreter waits for what multiprocessing started, as it does everywhere."""
    import multiprocessing
    import time

    def work() -> None:
        time.sleep(1.0)
        open(file, "w").close()

    multiprocessing.get_context("fork").Process(target=work).start()


@component
def temporary_folder() -> str:
    """Its name; the folder goes when the interpreter ends."""
    import tempfile

    globals()["kept"] = tempfile.TemporaryDirectory()
    return str(globals()["kept"].name)


@component
def is_there(path: str, wanted: bool) -> None:
    import os

    assert os.path.exists(path) == wanted, path


@component
def local_hour() -> int:
    """The hour of the local time zone when 1970 began in UTC."""
    import datetime

    return datetime.datetime.fromtimestamp(0).hour


@component
def slow(seconds: float) -> str:
    import time

    time.sleep(seconds)
    return "slept"


@component
def resolved(value: str) -> None:
    assert value and "{{" not in value, value


@component
def value_of(struct: Dict[str, Any], key: str) -> str:
    return str(struct[key])


@component
def expect_json(found: Dict[str, Any], wanted: str) -> None:
    import json

    assert json.dumps(found, sort_keys=True) == wanted, f"{found!r} is not {wanted!r}"


@component
def leaves_state() -> None:
    """Changes all that a process has of its own, and that a fork would hand on."""
    import decimal
    import json
    import locale
    import logging
    import os
    import random
    import re
    import signal
    import sys
    import tempfile
    import threading
    import time
    import warnings

    assert "PARITY_LEAK" not in os.environ
    os.environ.update(PARITY_LEAK="1", TZ="UTC-7")
    time.tzset()
    os.chdir("/")
    os.umask(0o777)
    random.seed(1)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    decimal.getcontext().prec = 3
    locale.setlocale(locale.LC_ALL, "C")
    logging.getLogger().setLevel(logging.CRITICAL)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("error")
    sys.setrecursionlimit(123_456)
    sys.path.insert(0, "/leaked")
    tempfile.tempdir = "/leaked"
    re.purge()
    json.leaked = True  # type: ignore[attr-defined]
    threading.Lock().acquire()
    logging.getLogger().handlers and logging.getLogger().handlers[0].acquire()
    try:
        import numpy

        numpy.random.seed(1)
        numpy.seterr(all="raise")
    except ImportError:  # the image of a cluster need not have it
        pass


@component
def finds_no_state() -> None:
    """Nothing of another task's, and what an interpreter begins with."""
    import decimal
    import json
    import logging
    import os
    import signal
    import sys
    import tempfile
    import threading
    import time

    found = {
        "environment": "PARITY_LEAK" in os.environ,
        "zone": time.timezone == -7 * 3600,
        "folder": os.getcwd() == "/" and os.environ.get("PWD", "/") != "/",
        "term": signal.getsignal(signal.SIGTERM) != signal.SIG_DFL,
        "int": signal.getsignal(signal.SIGINT) not in (signal.SIG_DFL, signal.default_int_handler),
        "child": signal.getsignal(signal.SIGCHLD) != signal.SIG_DFL,
        "blocked": bool(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "precision": decimal.getcontext().prec != 28,
        "disabled": logging.root.manager.disable != 0,
        "recursion": sys.getrecursionlimit() == 123_456,
        "path": "/leaked" in sys.path,
        "temporary": tempfile.gettempdir() == "/leaked",
        "module": hasattr(json, "leaked"),
        "threads": threading.active_count() != 1,
    }
    mask = os.umask(0o022)
    found["umask"] = mask == 0o777
    for handler in logging.getLogger().handlers:
        found["lock"] = not handler.lock.acquire(timeout=1)  # type: ignore[union-attr]
    try:
        import numpy

        found["numpy"] = numpy.geterr()["divide"] == "raise"
    except ImportError:
        pass
    assert not any(found.values()), [name for name, leaked in found.items() if leaked]
