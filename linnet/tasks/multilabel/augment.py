"""What an image shows stays the same wherever in it that is."""

from __future__ import annotations

from linnet.tasks.classification.augment import AUGMENT

__all__ = ["AUGMENT"]
