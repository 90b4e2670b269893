"""Several rows of a table about one image: what they say together, and where they contradict each other."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from linnet.data.rows import RawRow, invalid_rows
from linnet.tasks.target import Target


def check_agreed(where: str, rows: list[RawRow], people: list[str]) -> None:
    """The classes of an image are those that one person gave it, and not what several could not agree on.

    Raises:
        DataError: people who answered about the same image gave it different classes.
    """
    said: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row, who in zip(rows, people, strict=True):
        said[row.origin][who].append(row.label)
    problems = [
        f"{origin}: "
        + ", ".join(f"{'|'.join(labels)} by {who or 'nobody'}" for who, labels in answers.items())
        for origin, answers in said.items()
        if len({frozenset(labels) for labels in answers.values()}) > 1
    ]
    if problems:
        problem = f"{len(problems)} image(s) have different answers of several people"
        raise invalid_rows(where, problem, problems, "keep one of the answers to each")


def joined_rows(where: str, rows: list[RawRow], target: Target) -> list[RawRow]:
    """One row per image, with the classes of all its rows.

    Raises:
        DataError: the rows of an image differ in something else than their classes, or make no one label.
    """
    found: dict[str, RawRow] = {}
    problems: list[str] = []
    apart: list[str] = []
    for row in rows:
        first = found.setdefault(row.origin, row)
        try:
            label = target.joined((first.label, row.label))
        except ValueError as error:
            apart.append(f"{row.origin}: {error}")
            continue
        if replace(row, label="") != replace(first, label=""):
            problems.append(f"{row.origin}: its rows differ in split, time, cohort or group")
        found[row.origin] = replace(first, label=label)
    if problems:
        raise invalid_rows(where, f"{len(problems)} row(s) contradict another of the same image", problems,
                           "make them equal but for the label")  # fmt: skip
    if apart:
        problem = f"the rows of {len(apart)} image(s) make no one label"
        raise invalid_rows(where, problem, apart, "correct these rows")
    return list(found.values())
