"""Random pipelines as plain data, and what must become of them: a small interpreter of KFP's semantics.

The interpreter knows nothing of the runner. It is written from the pipeline specification and from what the
compiler of KFP's backend makes of it (backend/src/v2/compiler/argocompiler/dag.go):

- A task starts when all tasks of its own DAG whose outputs it takes, or which it is said to come after, have
  succeeded; if one of them failed or was left out, it is left out. A group takes what its tasks take.
- A task that ignores failures upstream, and an exit task, start when those are over, however they ended.
- A group has failed if a task within it failed; a group whose condition does not hold is left out.
- A task that fails is tried again as often as its retry policy says.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

Ref = int | str
"""A whole number, or the name of a value: `t3` is the output of that task."""
Outcome = tuple[str, tuple[int, ...], str, int, str]
"""A task's name, the iterations around it, its state, how often it was tried, and its output as JSON."""
NOTHING = "null"


@dataclass(frozen=True, eq=False)
class Task:
    name: str
    kind: str
    takes: tuple[Ref, ...]
    after: tuple[str, ...] = ()
    retries: int = 0
    fails: int = 0
    ignores: bool = False


@dataclass(frozen=True, eq=False)
class Condition:
    left: str
    sign: str
    right: int


@dataclass(frozen=True, eq=False)
class Branches:
    """`dsl.If`, `dsl.Elif`, `dsl.Else` (a condition of None); `one_of`: the output of each, as one value."""

    name: str
    branches: tuple[tuple[Condition | None, tuple[Statement, ...]], ...]
    one_of: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Loop:
    """`dsl.ParallelFor`; `collects`: the output within it that is taken from outside, as a list."""

    name: str
    items: tuple[int, ...] | str
    parallelism: int
    body: tuple[Statement, ...]
    collects: str = ""


@dataclass(frozen=True, eq=False)
class Nested:
    """A pipeline within the pipeline; its inputs are `NAME.x` and `NAME.y`, its output is that of a task."""

    name: str
    takes: tuple[Ref, Ref]
    body: tuple[Statement, ...]
    gives: str


@dataclass(frozen=True, eq=False)
class Handled:
    """`dsl.ExitHandler`: `last` runs however the others ended, and gives the state that it was told."""

    name: str
    last: str
    body: tuple[Statement, ...]


Statement = Task | Branches | Loop | Nested | Handled


@dataclass(frozen=True, eq=False)
class Program:
    body: tuple[Statement, ...]
    inputs: tuple[int, int]
    """Values of the pipeline's inputs `x` and `y`."""


def takes(statement: Statement) -> set[str]:
    """The names of all values that it takes, or something within it."""
    found: set[Ref] = set()
    for one in _walk(statement):
        if isinstance(one, Task | Nested):
            found |= set(one.takes)
        if isinstance(one, Task):
            found |= set(one.after)
        if isinstance(one, Branches):
            found |= {condition.left for condition, _ in one.branches if condition is not None}
        if isinstance(one, Loop) and isinstance(one.items, str):
            found.add(one.items)
    return {name for name in found if isinstance(name, str)}


def _walk(statement: Statement) -> Iterator[Statement]:
    yield statement
    for body in _bodies(statement):
        for inner in body:
            yield from _walk(inner)


def _bodies(statement: Statement) -> list[tuple[Statement, ...]]:
    """The bodies of a group; not that of a nested pipeline, which takes all through its own inputs."""
    if isinstance(statement, Branches):
        return [body for _, body in statement.branches]
    return [statement.body] if isinstance(statement, Loop | Handled) else []


def nested(body: tuple[Statement, ...]) -> Iterator[Nested]:
    """All pipelines within a body, inner ones first."""
    for statement in (one for outer in body for one in _walk(outer)):
        if isinstance(statement, Nested):
            yield from nested(statement.body)
            yield statement


# The interpreter.

_SIGNS = {
    "==": lambda a, b: a == b, "!=": lambda a, b: a != b, "<": lambda a, b: a < b,
    ">": lambda a, b: a > b, "<=": lambda a, b: a <= b, ">=": lambda a, b: a >= b,
}  # fmt: skip


@dataclass
class Expected:
    """What becomes of a program."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    failed: bool = False


def expected(program: Program) -> Expected:
    """Interprets a program."""
    told = Expected()
    told.failed = _run(program.body, dict(zip("xy", program.inputs, strict=True)), (), told.outcomes)
    return told


def _run(
    body: tuple[Statement, ...], values: dict[str, Any], where: tuple[int, ...], told: Counter[Outcome]
) -> bool:
    """Runs a DAG, and adds what its tasks give to the values; whether something in it failed."""
    states = dict[str, str]()
    for statement in body:
        ready = all(states.get(name, "SUCCEEDED") == "SUCCEEDED" for name in takes(statement))
        if isinstance(statement, Task):
            state = _task(statement, ready, values, where, told)
        elif not ready:
            state = "SKIPPED"
        else:
            state = "FAILED" if _group(statement, values, where, told) else "SUCCEEDED"
        if isinstance(statement, Handled):
            said = "COMPLETE" if state == "SUCCEEDED" else state
            told[(statement.last, where, "SUCCEEDED", 1, json.dumps(said))] += 1
        states[statement.name] = state
        if state != "SUCCEEDED":
            values.pop(statement.name, None)
    return "FAILED" in states.values()


def _group(group: Statement, values: dict[str, Any], where: tuple[int, ...], told: Counter[Outcome]) -> bool:
    """Runs a group whose turn it is, and adds what it gives to the values; whether something in it failed."""
    if isinstance(group, Handled):
        return _run(group.body, dict(values), where, told)
    if isinstance(group, Nested):
        inner = {f"{group.name}.{key}": _of(ref, values) for key, ref in zip("xy", group.takes, strict=True)}
        failed = _run(group.body, inner, where, told)
        values[group.name] = inner.get(group.gives)
        return failed
    if isinstance(group, Branches):
        for number, (condition, body) in enumerate(group.branches):
            if condition is None or _SIGNS[condition.sign](values[condition.left], condition.right):
                inner = dict(values)
                failed = _run(body, inner, where, told)
                if group.one_of:
                    values[group.name] = inner.get(group.one_of[number])
                return failed
        return False
    assert isinstance(group, Loop)
    items = values[group.items] if isinstance(group.items, str) else group.items
    failed, collected = False, []
    for number, item in enumerate(items):
        inner = {**values, f"{group.name}.item": item}
        failed |= _run(group.body, inner, (*where, number), told)
        collected.append(inner.get(group.collects))
    values[group.name] = collected
    return failed


def _task(
    task: Task, ready: bool, values: dict[str, Any], where: tuple[int, ...], told: Counter[Outcome]
) -> str:
    if not ready and not task.ignores:
        told[(task.name, where, "SKIPPED", 0, NOTHING)] += 1
        return "SKIPPED"
    tries = task.retries + 1
    if task.kind == "fail" or (task.kind == "flaky" and task.fails >= tries):
        told[(task.name, where, "FAILED", tries, NOTHING)] += 1
        return "FAILED"
    values[task.name] = result = _result(task, values)
    tried = 1 + (task.fails if task.kind == "flaky" else 0)
    told[(task.name, where, "SUCCEEDED", tried, json.dumps(result))] += 1
    return "SUCCEEDED"


def _of(ref: Ref, values: dict[str, Any]) -> Any:
    return values[ref] if isinstance(ref, str) else ref


def _result(task: Task, values: dict[str, Any]) -> Any:
    if task.kind == "soft":  # what it was to get may be missing: then its default stands
        given = values.get(task.takes[0], 5) if isinstance(task.takes[0], str) else task.takes[0]
        return given + 1
    given = [_of(ref, values) for ref in task.takes]
    if task.kind == "add":
        return (given[0] + 2 * given[1]) % 11
    if task.kind == "digits":
        return len(str(given[0])) + given[1]
    if task.kind == "numbers":
        return [3 * number for number in range(given[0] % 4)]
    if task.kind == "total":
        return sum(given[0]) % 11
    assert task.kind == "flaky"
    return given[0]


# The generator.


@dataclass
class _Maker:
    """Draws statements; `numbers` and `lists`: the names of the values that may be taken here."""

    draw: st.DrawFn
    count: int = 0
    left: int = 14
    """How many more statements there may be: programs stay small."""
    top: bool = False

    def name(self, kind: str) -> str:
        self.count += 1
        return f"{kind}{self.count}"

    def body(
        self,
        numbers: list[str],
        lists: list[str],
        tasks: list[str],
        depth: int,
        loops: int,
        top: bool = False,
    ) -> tuple[Statement, ...]:
        """A DAG's statements; what they give is added to the lists. `top`: they are a pipeline's own."""
        made: list[Statement] = []
        tops, self.top = self.top, top
        for _ in range(self.draw(st.integers(1, 4))):
            if self.left <= 0 and made:
                break
            self.left -= 1
            kinds = ["task"] * 4
            if depth < 3:
                kinds += ["branches", "branches", "nested"]
                kinds += ["loop"] * (2 if loops < 2 else 0)
            if depth == 0:
                kinds += ["handled"]
            make = getattr(self, self.draw(st.sampled_from(kinds)))
            made.append(make(numbers, lists, tasks, depth, loops))
        self.top = tops
        return tuple(made)

    def ref(self, numbers: list[str]) -> Ref:
        return self.draw(st.one_of(st.sampled_from(numbers), st.integers(0, 9)))

    def task(self, numbers: list[str], lists: list[str], tasks: list[str], depth: int, loops: int) -> Task:
        kinds = ["add", "add", "digits", "numbers", "soft", "flaky", "fail"] + ["total"] * (2 * bool(lists))
        kind = self.draw(st.sampled_from(kinds))
        if kind == "total":
            given: tuple[Ref, ...] = (self.draw(st.sampled_from(lists)),)
        else:
            # The SDK puts no `OneOf` into a text.
            known = [ref for ref in numbers if ref[0] != "b"] if kind == "digits" else numbers
            given = tuple(self.ref(known) for _ in range(2 if kind in ("add", "digits") else 1))
        after = tuple(self.draw(st.lists(st.sampled_from(tasks), max_size=2, unique=True))) if tasks else ()
        upstream = set(after) | {ref for ref in given if isinstance(ref, str)} & set(tasks)
        made = Task(
            name=self.name("t"),
            kind=kind,
            takes=given,
            after=after,
            retries=self.draw(st.sampled_from([0, 0, 1, 2])),
            fails=self.draw(st.integers(0, 2)) if kind == "flaky" else 0,
            ignores=kind == "soft" and bool(upstream) and self.draw(st.booleans()),
        )
        (lists if kind == "numbers" else numbers).append(made.name)
        tasks.append(made.name)
        return made

    def condition(self, numbers: list[str]) -> Condition:
        draw = self.draw
        return Condition(
            draw(st.sampled_from(numbers)), draw(st.sampled_from(sorted(_SIGNS))), draw(st.integers(0, 9))
        )

    def branches(
        self, numbers: list[str], lists: list[str], tasks: list[str], depth: int, loops: int
    ) -> Branches:
        conditions: list[Condition | None] = [
            self.condition(numbers) for _ in range(self.draw(st.integers(1, 3)))
        ]
        # Without an `Else`, an `Elif` of the SDK takes in all that stands after it (kfp 2.17.0).
        whole = len(conditions) > 1 or self.draw(st.booleans())
        chooses = whole and self.draw(st.booleans())
        conditions += [None] if whole else []
        name, branches, chosen = self.name("b"), [], []
        for condition in conditions:
            inner = list(numbers), [], list(tasks)
            body = self.body(*inner, depth + 1, loops)
            if chooses:
                body, task = self.with_result(body, inner[0])
                chosen.append(task)
            branches.append((condition, body))
        if chooses:
            numbers.append(name)
        return Branches(name, tuple(branches), tuple(chosen))

    def with_result(
        self, body: tuple[Statement, ...], numbers: list[str]
    ) -> tuple[tuple[Statement, ...], str]:
        """A body with a task at its end whose output is taken from outside, and that task's name."""
        task = Task(self.name("t"), "add", (self.ref(numbers), self.ref(numbers)))
        return (*body, task), task.name

    def loop(self, numbers: list[str], lists: list[str], tasks: list[str], depth: int, loops: int) -> Loop:
        constant = st.lists(st.integers(0, 9), min_size=1, max_size=3).map(tuple)
        # Lists of outer groups, and collected ones, come to a loop in few cases only (kfp 2.17.0).
        given = [ref for ref in lists if ref[0] == "t"]
        items = self.draw(st.one_of(constant, st.sampled_from(given)) if given else constant)
        name = self.name("l")
        # The SDK does not hand an item in to a loop within its own (kfp 2.17.0).
        inner = (
            [ref for ref in numbers if not ref.endswith(".item")] + [f"{name}.item"],
            list(lists),
            list(tasks),
        )
        body, collects = self.body(*inner, depth + 1, loops + 1), ""
        # What a loop within another group collects, the SDK does not find (kfp 2.17.0).
        if self.top and self.draw(st.booleans()):
            body, collects = self.with_result(body, inner[0])
            lists.append(name)
        return Loop(name, items, self.draw(st.sampled_from([0, 1, 2])), body, collects)

    def nested(
        self, numbers: list[str], lists: list[str], tasks: list[str], depth: int, loops: int
    ) -> Nested:
        name, given = self.name("n"), (self.ref(numbers), self.ref(numbers))
        inner = [f"{name}.x", f"{name}.y"]
        body, result = self.with_result(self.body(inner, [], [], depth + 1, loops, top=True), inner)
        numbers.append(name)
        return Nested(name, given, body, result)

    def handled(
        self, numbers: list[str], lists: list[str], tasks: list[str], depth: int, loops: int
    ) -> Handled:
        name, last = self.name("h"), self.name("last")
        return Handled(name, last, self.body(list(numbers), [], list(tasks), depth + 1, loops))


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Pipelines that the SDK's compiler takes."""
    body = _Maker(draw).body(["x", "y"], [], [], 0, 0, top=True)
    return Program(body, (draw(st.integers(0, 9)), draw(st.integers(0, 9))))
