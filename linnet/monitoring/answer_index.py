"""Which files of the prediction log hold an answer: 12 bytes each, as labels may come for any of millions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Key = tuple[str, int]
"""Request id, and image in the request."""


@dataclass
class AnswerIndex:
    """Answers by request and image; of more than `most` an even random share is kept."""

    most: int = 1 << 23
    """100 MB."""
    _paths: list[Path] = field(default_factory=list)
    _hashes: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """In ascending order."""
    _files: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    _new: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]] = field(default_factory=list)
    _one_in: int = 1

    @property
    def one_in(self) -> int:
        """One in this many answers is kept, whenever it came; 1: all are."""
        self._merge()
        return self._one_in

    def add(self, path: Path, keys: Iterable[Key]) -> None:
        """Takes in the answers that a file holds."""
        hashes = _hashed(keys)
        self._new.append((hashes, np.full(len(hashes), len(self._paths), np.int32)))
        self._paths.append(path)

    def find(self, keys: Iterable[Key]) -> dict[Path, set[Key]]:
        """The files that hold answers of these names, with the names (seldom one that it does not hold)."""
        self._merge()
        wanted = list(keys)
        hashes = _hashed(wanted)
        starts, ends = (np.searchsorted(self._hashes, hashes, side) for side in ("left", "right"))
        found: dict[Path, set[Key]] = {}
        for key, start, end in zip(wanted, starts, ends, strict=True):
            for number in self._files[start:end]:
                found.setdefault(self._paths[number], set()).add(key)
        return found

    def _merge(self) -> None:
        if not self._new:
            return
        hashes, files = (
            np.concatenate(parts) for parts in zip(*self._new, (self._hashes, self._files), strict=True)
        )
        self._new.clear()
        # The same answers are kept whatever order they came in: a label finds its answer, or none ever did.
        while True:
            kept = hashes % self._one_in == 0
            if np.count_nonzero(kept) <= self.most:
                break
            self._one_in *= 2
        hashes, files = hashes[kept], files[kept]
        order = np.argsort(hashes, kind="stable")
        self._hashes, self._files = hashes[order], files[order]


def key_of(row: Mapping[str, Any]) -> Key:
    """What a row of the log is the answer to."""
    return row["request_id"], row["index"] or 0


def _hashed(keys: Iterable[Key]) -> npt.NDArray[np.int64]:
    return np.asarray([hash(key) for key in keys], np.int64)
