"""A few numbers of an answer, and how sure it is, for drift and for the choice of what people shall look at.

numpy only.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from linnet.tasks.answer import Output
from linnet.tasks.parts import part

DYNAMIC_IMPORTS = ("linnet.tasks.*.summary",)
Floats = npt.NDArray[np.float64]


class Summary(Protocol):
    """Figures of outputs, of which some may be no numbers: nothing is known of those samples then."""

    def margin(self, output: Output) -> Floats:
        """How far the nearest other answer is, in [0, 1]: [N]; 0 where it might as well have been given."""

    def entropy(self, output: Output) -> Floats:
        """How little is known on the whole, over the most that can be unknown: [N]."""

    def scalars(self, output: Output) -> dict[str, Floats]:
        """What drift watches besides classes and confidence, [N] each, such as the objects in an image."""


def summary_of(task: str, thresholds: tuple[float, ...] = ()) -> Summary:
    """The figures of a task's outputs; `thresholds`: a probability a class, where the task has them.

    Raises:
        ConfigError: the task is unknown.
    """
    found: Summary = part(task, "summary").summary(thresholds)
    return found
