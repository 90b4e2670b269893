"""Imports Feast in a fifth of the time: 1.2 s instead of 6.2 s (Feast 0.67, one core of a laptop).

Two things cost nearly all of it, and neither is used here. Feast's classes are decorated with
typeguard, which parses and compiles each one's source again to check argument types (3 s; mypy and
the tests check ours). And it imports torch, if there is one, for `OnlineResponse.to_tensor` (2 s).

Importing Feast also puts PROMETHEUS_MULTIPROC_DIR into the environment, for its own feature server.
Our server, started later by the same process, would inherit it and count into a folder that is gone.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

DYNAMIC_IMPORTS = (
    "feast",
    "feast.infra.offline_stores.duckdb",
    "feast.infra.online_stores.sqlite",
    "feast.infra.registry.registry",
    "feast.infra.passthrough_provider",
)
_lock = threading.Lock()


def import_feast() -> Any:
    """The module `feast`, with the parts of it that a local store needs; call it before any other."""
    with _lock:
        if "feast" in sys.modules:
            return sys.modules["feast"]
        with _without_torch(), _without_typeguard(), _without_metrics_folder():
            modules = [importlib.import_module(name) for name in DYNAMIC_IMPORTS]
        return modules[0]


@contextmanager
def _without_torch() -> Iterator[None]:
    """Feast's import of torch fails meanwhile, which it allows for, unless torch is there already."""
    if "torch" in sys.modules:
        yield
        return
    sys.modules["torch"] = None  # type: ignore[assignment]  # how Python marks "cannot be imported"
    try:
        yield
    finally:
        sys.modules.pop("torch", None)


@contextmanager
def _without_typeguard() -> Iterator[None]:
    """`@typechecked` leaves classes as they are meanwhile."""
    typeguard: Any = importlib.import_module("typeguard")
    original = typeguard.typechecked

    def unchanged(target: Any = None, **_: Any) -> Any:
        return target if target is not None else unchanged

    typeguard.typechecked = unchanged
    try:
        yield
    finally:
        typeguard.typechecked = original


_METRICS_FOLDERS = ("PROMETHEUS_MULTIPROCESS_DIR", "PROMETHEUS_MULTIPROC_DIR")


@contextmanager
def _without_metrics_folder() -> Iterator[None]:
    """Feast makes no folder for metrics of many processes, and leaves the environment as it was."""
    importlib.import_module("prometheus_client")  # decides at its import whether it counts in files
    before = {name: os.environ.get(name) for name in _METRICS_FOLDERS}
    for name in _METRICS_FOLDERS:
        os.environ.setdefault(name, "")
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
