"""What an export of an annotation tool says of one image."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from linnet.tasks.target import Object


@dataclass(slots=True)
class Told:
    """What an export says of one image."""

    reference: str
    """The image as the export spells it."""
    file: Path
    """The file that says so."""
    classes: set[str] = field(default_factory=set)
    objects: list[Object] = field(default_factory=list)
    """What is marked in it, where the export says where."""
    height: int = 0
    """As the export says; 0: it does not."""
    width: int = 0
    answered: bool = True
    """Whether anybody said what is in it, or that nothing is."""
    apart: bool = False
    """Whether people who labelled the whole image said different things of it."""
