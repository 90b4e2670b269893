"""What a forked process must not have in common with those that were forked beside it.

A fork copies all that was loaded before: also what would be another in a program of its own. `renew`
makes it so; tests/runner/test_forked.py holds every module that is preloaded to it.
"""

from __future__ import annotations

import atexit
import logging
import random
import sys
import weakref


def renew() -> None:
    """Gives this process, just forked, random numbers and an end of its own."""
    _reseed()
    _forget_exits()


def _reseed() -> None:
    """From the system, as each library does it when it is imported."""
    random.seed()
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed()
    if (torch := sys.modules.get("torch")) is not None:
        torch.seed()


def _forget_exits() -> None:
    """Leaves to this process what the interpreter does at its end, and not what its parent would do.

    What the parent registered would be done here too: its temporary folders would go. What libraries
    registered when they were imported is wanted: to wait for processes that multiprocessing started, to
    write what loggers hold, to remove this process's own temporary folders.
    """
    atexit._clear()
    weakref.finalize._registry.clear()  # type: ignore[attr-defined]
    weakref.finalize._registered_with_atexit = False  # type: ignore[attr-defined]
    atexit.register(logging.shutdown)
    if (multiprocessing := sys.modules.get("multiprocessing.util")) is not None:
        multiprocessing._finalizer_registry.clear()
        atexit.register(multiprocessing._exit_function)
