"""How far two labels agree: of two versions, of two people, of a person and a model, of answer and truth.

It is the score of a sample, too: an answer's score is how far it agrees with the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from linnet.tasks.parts import part

DYNAMIC_IMPORTS = ("linnet.tasks.*.agree",)
Agreement = Callable[[str, str], float]
"""Of two labels, in [0, 1]: 1 where they say the same, 0 where they have nothing in common. Symmetric."""
Consensus = Callable[[Sequence[str]], str | None]
"""What several people's labels of one sample say together; None where they are tied."""


def agreement_of(task: str) -> Agreement:
    """How the labels of a task are compared.

    Raises:
        ConfigError: the task is unknown.
    """
    found: Agreement = part(task, "agree").agreement
    return found


def consensus_of(task: str) -> Consensus:
    """How several people's labels become one.

    Raises:
        ConfigError: the task is unknown.
    """
    found: Consensus = part(task, "agree").consensus
    return found
