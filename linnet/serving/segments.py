"""The segments of a request: which groups of users it comes from, as its sender says.

Declared in `serving.segments`, with the values that are told apart, so that their number is bounded whatever
clients send. A request says them in the header `Linnet-Segments: store=de, device=ios`, or among the
`parameters` of an inference request. What it does not say is `none`, a value that was not declared `other`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from linnet.config import NOT_TOLD, OTHER
from linnet.serving.upload import named_values

SEGMENTS_HEADER = "linnet-segments"
Told = dict[str, str]
"""Values as the sender wrote them, by name."""
_NOTHING: Told = {}


class Segments:
    """What a model's config declares."""

    def __init__(self, declared: Mapping[str, tuple[str, ...]]) -> None:
        self._known = {name: frozenset(values) for name, values in declared.items()}

    def in_header(self, headers: Mapping[str, str]) -> Told:
        """What the header says; nothing where none are declared: such a model's requests are not read.

        Raises:
            RequestRejected: 400, it is not written so.
        """
        given = headers.get(SEGMENTS_HEADER) if self._known else None
        return _NOTHING if given is None else named_values(given, "Linnet-Segments")

    def of(self, header: Told, parameters: Mapping[str, Any]) -> Told:
        """A value for each declared segment; the header has the say where both tell."""
        found = {}
        for name, values in self._known.items():
            value = header.get(name)
            if value is None and (parameter := parameters.get(name)) is not None:
                value = str(parameter)
            found[name] = NOT_TOLD if value is None else value if value in values else OTHER
        return found
