"""A few numbers that all processes of one server see at once: a page of memory that they share.

The supervisor writes the generation of each model's routing table, one aligned 64-bit store, so that
every worker changes over at the same moment; each worker writes its own numbers and reads the others'.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import tempfile
import threading

MAX_WORKERS = 64
MAX_KEYS = 256
MAX_MODELS = 1024
_HELD, _UNLOGGED = 384, 448
_CONNECTIONS, _BUDGETS, _GENERATIONS, _ASKED, _SIZE = 64, 128, 512, 1536, 20_480


class Word:
    """One number that all processes see at once; of a model's generation: which table is in force."""

    def __init__(self, words: memoryview[int], place: int) -> None:
        self._words, self._place = words, place

    @property
    def number(self) -> int:
        """The number; 0 before the first one."""
        return self._words[self._place]

    @number.setter
    def number(self, value: int) -> None:
        self._words[self._place] = value


class Tally:
    """A number that one process changes, from any of its threads, and all may read."""

    def __init__(self, words: memoryview[int], place: int) -> None:
        self._words, self._place, self._lock = words, place, threading.Lock()

    def add(self, count: int) -> None:
        """Adds `count`, which may be negative."""
        with self._lock:
            self._words[self._place] += count


class SharedPage:
    """The page; `descriptor` is handed to the worker processes."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._map = mmap.mmap(descriptor, _SIZE)
        self._words = memoryview(self._map).cast("q")

    @classmethod
    def create(cls) -> SharedPage:
        """A page of zeros that goes with the last process that has it."""
        descriptor, path = tempfile.mkstemp(prefix="linnet-")
        os.unlink(path)  # noqa: PTH108  a descriptor without a name cannot be left behind
        os.ftruncate(descriptor, _SIZE)
        return cls(descriptor)

    def generation(self, slot: int) -> Word:
        """The generation of the model in `slot`, below MAX_MODELS."""
        return Word(self._words, _GENERATIONS + slot)

    def asked(self, slot: int) -> Word:
        """When the model in `slot` was asked last, by the monotonic clock, in nanoseconds."""
        return Word(self._words, _ASKED + slot)

    def connections(self, workers: int) -> list[int]:
        """Open connections of each worker; a worker that is not there has a very large number."""
        return self._words[_CONNECTIONS : _CONNECTIONS + workers].tolist()

    def set_connections(self, worker: int, count: int) -> None:
        """A worker's own count."""
        self._words[_CONNECTIONS + worker] = count

    def held(self, worker: int) -> Tally:
        """Bytes of requests and answers that a worker holds."""
        return Tally(self._words, _HELD + worker)

    def all_held(self, workers: int) -> int:
        """What all workers hold; asked for each request, so that only those that are there are added up."""
        return sum(self._words[_HELD : _HELD + workers])

    def unlogged(self, worker: int) -> Tally:
        """Requests that a worker answered and has not yet written to the prediction log."""
        return Tally(self._words, _UNLOGGED + worker)

    def forget(self, worker: int) -> int:
        """Clears the tallies of a worker that is gone; returns the requests that it never logged."""
        unlogged = self._words[_UNLOGGED + worker]
        self._words[_HELD + worker] = self._words[_UNLOGGED + worker] = 0
        return unlogged

    def spend(self, slot: int, rate: float, now: int) -> int:
        """Takes one request out of a budget of `rate` a second, with a burst of one second's worth.

        The generic cell rate algorithm (ITU-T I.371): the slot holds the time at which the budget is
        whole again. Exact over all processes, by a lock on the slot's byte of the page.

        Args:
            slot: of the budget, below MAX_KEYS.
            rate: requests a second.
            now: nanoseconds of the monotonic clock, which all processes share.

        Returns:
            0 if the request may pass, else nanoseconds until one may.
        """
        step, burst = round(1e9 / rate), round(max(1e9, 1e9 / rate))
        fcntl.lockf(self.descriptor, fcntl.LOCK_EX, 1, slot)
        try:
            whole = max(self._words[_BUDGETS + slot], now)
            if whole + step - now > burst:
                return whole + step - now - burst
            self._words[_BUDGETS + slot] = whole + step
            return 0
        finally:
            fcntl.lockf(self.descriptor, fcntl.LOCK_UN, 1, slot)

    def close(self) -> None:
        """Gives the page back."""
        self._words.release()
        self._map.close()
        os.close(self.descriptor)
