"""Labels of a trial: each waits for the answer that it was given for, and counts once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from linnet.monitoring.answer_index import Key, key_of
from linnet.monitoring.given_labels import answer_meant

_Row = dict[str, Any]
_Image = tuple[str, int, str | None]
"""Request id, image in the request, sample id."""


@dataclass
class BakeLabels:
    """Which label is of which answer, by the rule of `linnet.monitoring.given_labels`."""

    _seen: set[int] = field(default_factory=set)
    """Hashes of the labels that were taken in: a file that grew tells all of its again."""
    _waiting: dict[Key, list[tuple[str, datetime]]] = field(default_factory=dict)
    """Labels whose answer is not written yet, or is none of the trial's."""
    _counted: dict[_Image, str] = field(default_factory=dict)
    _again: set[Key] = field(default_factory=set)
    _corrected: int = 0

    def take(self, labels: Iterable[tuple[Key, str, datetime]]) -> None:
        """Takes in labels, the oldest first."""
        for label in labels:
            if (known := hash(label)) not in self._seen:
                self._seen.add(known)
                self._waiting.setdefault(label[0], []).append(label[1:])

    def waiting(self) -> list[Key]:
        """What labels wait for."""
        return list(self._waiting)

    def of_answers(self, found: Iterable[_Row]) -> Iterator[tuple[_Row, str]]:
        """The answers that have a label now, each with it, in the order of the answers.

        Every answer of a request to the same pixels has the label; of several labels of one look the last
        one counts, and the first look's for good.
        """
        answers: dict[Key, list[_Row]] = defaultdict(list)
        for row in found:
            if row["ok"] and row["predicted"] is not None:
                answers[key_of(row)].append(row)
        told: list[tuple[_Row, str]] = []
        for key, rows in answers.items():
            told += self._of_request(key, sorted(rows, key=lambda row: row["at"]))
        return iter(sorted(told, key=lambda one: one[0]["at"]))

    def notes(self) -> tuple[str, ...]:
        """What a reader must know of them."""
        notes = []
        if self._again:
            notes.append(
                f"{len(self._again):,} labelled request id(s) name different images: send ids used once"
            )
        if self._corrected:
            notes.append(f"{self._corrected:,} label(s) were corrected after they had been counted")
        return tuple(notes)

    def _of_request(self, key: Key, rows: list[_Row]) -> Iterator[tuple[_Row, str]]:
        if len({row["sample_id"] for row in rows}) > 1:
            self._again.add(key)
        labels: dict[_Image, str] = {}
        for label, came in self._waiting.pop(key):
            place = answer_meant([row["at"] for row in rows], came)
            if place is not None:  # else it is older than the answer: of another of this name
                labels[(*key, rows[place]["sample_id"])] = label
        for image, label in labels.items():
            if image in self._counted:
                self._corrected += self._counted[image] != label
                continue
            self._counted[image] = label
            yield from ((row, label) for row in rows if row["sample_id"] == image[2])
