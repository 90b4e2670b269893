"""Permissions as they are for everybody but root, also where tests run as root."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_VERSION = 0x20080522
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1, 2
"""The capabilities by which modes do not hold for root (capabilities(7))."""


@contextmanager
def forbidden(path: Path, mode: int = 0) -> Iterator[None]:
    """`path` has the mode `mode`, which holds for this thread, whoever runs it."""
    before = path.stat().st_mode
    path.chmod(mode)
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = (ctypes.c_uint32 * 2)(_VERSION, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, sets) == 0
    effective = sets[0]
    try:
        sets[0] = effective & ~(1 << _DAC_OVERRIDE | 1 << _DAC_READ_SEARCH)
        assert libc.capset(header, sets) == 0
        yield
    finally:
        sets[0] = effective
        assert libc.capset(header, sets) == 0
        path.chmod(before)
