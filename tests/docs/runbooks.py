"""Runbooks as a test reads them: steps, the commands in them, what each command says, and what they name."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

PAGES = sorted((Path(__file__).parents[2] / "docs" / "runbooks").glob("*.md"))
_COMMAND = re.compile(r"`(linnet [^`]+)`((?: says(?:,? (?:or )?\"[^\"]+\")+)?)")


@dataclass(frozen=True)
class Step:
    """A command of a runbook, and the words of which its output has at least one."""

    page: str
    section: str
    command: str
    says: tuple[str, ...]

    @property
    def words(self) -> list[str]:
        return shlex.split(self.command)[1:]


def steps(page: Path) -> list[Step]:
    """All commands of a runbook, in their order."""
    found, section = [], ""
    for line in page.read_text("utf-8").splitlines():
        if line.startswith("## "):
            section = line[3:]
        for command, says in _COMMAND.findall(line):
            found.append(Step(page.stem, section, command, tuple(re.findall(r'"([^"]+)"', says))))
    return found


def named(page: Path) -> set[str]:
    """All that stands in code marks, and is no command of Linnet."""
    return {word for word in re.findall(r"`([^`]+)`", page.read_text("utf-8")) if word[:7] != "linnet "}
