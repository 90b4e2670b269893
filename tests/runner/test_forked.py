"""What is forked from the preloaded fork server is as a program of its own: the whole list, module by module.

The probes run in an interpreter of their own, because a test process has loaded more than the fork server.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(300)

_PRELOADED = """
import atexit, gc, importlib, json, os, sys, threading
registered = []
register = atexit.register
def noted(function, *words, **named):
    registered.append(function)
    return register(function, *words, **named)
atexit.register = noted
before = dict(os.environ)
from linnet.engine.preload import PRELOAD
for name in PRELOAD:
    importlib.import_module(name)
atexit.register = register
from linnet.runner import forked

def in_child(work):
    read, write = os.pipe()
    if os.fork() == 0:
        forked.renew()
        os.write(write, json.dumps(work()).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        return json.load(answer)
"""


def _probe(code: str) -> Any:
    """What the last line of `code`, an expression, is in an interpreter that has preloaded everything."""
    *lines, last = textwrap.dedent(code).strip().splitlines()
    program = "\n".join([_PRELOADED, *lines, f"print('answer', json.dumps({last}))"])
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={**os.environ, "TZ": "UTC"}
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.rpartition("answer ")[2])


def test_every_generator_of_random_numbers_that_is_loaded_differs_between_children() -> None:
    first, second, third = _probe(
        """
        import random, secrets, tempfile, uuid
        import numpy
        kinds = (random.Random, numpy.random.RandomState, numpy.random.Generator)
        def drawn():
            found = [one for one in gc.get_objects() if isinstance(one, kinds)]
            numbers = {f"{type(one).__name__} {place}": one.random() for place, one in enumerate(found)}
            numbers["random"] = random.random()
            numbers["numpy"] = float(numpy.random.uniform())
            numbers["default_rng"] = float(numpy.random.default_rng().uniform())
            numbers["secrets"] = secrets.token_hex(8)
            numbers["uuid1"], numbers["uuid4"] = uuid.uuid1().hex, uuid.uuid4().hex
            numbers["tempfile"] = next(tempfile._get_candidate_names())
            return numbers
        [in_child(drawn) for _ in range(3)]
        """
    )
    assert {"Random 0", "RandomState 2"} <= set(first), sorted(first)
    for name in first:
        assert len({first[name], second[name], third[name]}) == 3, f"{name} repeats"


def test_preloading_leaves_process_as_it_was() -> None:
    found = _probe(
        """
        import locale, logging, signal
        changed = sorted(set(before.items()) ^ set(os.environ.items()))
        handlers = [type(handler).__name__ for handler in logging.getLogger().handlers]
        numbers = [n for n in range(1, 32) if n not in (2, 9, 13, 19, 25, 31)]
        own = [n for n in numbers if signal.getsignal(n) not in (signal.SIG_DFL, signal.SIG_IGN, None)]
        threads = [thread.name for thread in threading.enumerate()]
        children = open(f"/proc/self/task/{os.getpid()}/children").read().split()
        [changed, handlers, logging.getLogger().level, own, threads, children, sys.gettrace() is None]
        """
    )
    assert found == [[], [], 30, [], ["MainThread"], [], True]


def test_only_exits_that_a_child_repeats_are_registered_by_what_is_preloaded() -> None:
    """`renew` forgets all of them and registers again what a program needs: the rest must need nothing."""
    found = _probe(
        """
        sorted({f"{exit.__module__}.{getattr(exit, '__qualname__', exit)}" for exit in registered})
        """
    )
    repeated = {"logging.shutdown", "multiprocessing.util._exit_function", "weakref.finalize._exitfunc"}
    needless = {
        "concurrent.futures.thread._python_exit",  # threads: joined by threading's own shutdown
        "concurrent.futures.process._python_exit",
        "certifi.core.exit_cacert_ctx",  # a file that is unpacked from a zip, which no installation is
        "PIL._imaging.clear_cache",  # memory, which the process gives back anyway
        "pyarrow._s3fs.ensure_s3_finalized",  # quiets a library that no program of the parent began
    }
    assert set(found) <= repeated | needless, sorted(set(found) - repeated - needless)
