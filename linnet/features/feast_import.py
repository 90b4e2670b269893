"""Imports Feast in a fifth of the time: 1.2 s instead of 6.2 s (Feast 0.67, one core of a laptop).

Two things cost nearly all of it, and neither is used here. Feast's classes are decorated with
typeguard, which parses and compiles each one's source again to check argument types (3 s; mypy and
the tests check ours). And it imports torch, if there is one, for `OnlineResponse.to_tensor` (2 s).
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_MODULES = (
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
        with _without_torch(), _without_typeguard():
            modules = [importlib.import_module(name) for name in _MODULES]
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
