"""Random programs as pipelines of the SDK, run by the real driver: in this process, or by a run's worker."""

# No `from __future__ import annotations`: kfp reads the annotations themselves.
import contextlib
import io
import json
import os
import random
import re
import traceback
import warnings
from collections import Counter
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

from hypothesis import assume, reject
from kfp import dsl
from kfp.dsl import executor

from linnet.errors import RunError
from linnet.records import RunRequest, TaskRecord
from linnet.run import runs
from linnet.runner import run_worker
from linnet.runner.dag import Node
from linnet.runner.driver import Driver, TaskOutcome
from linnet.runner.placeholders import Job, Names
from linnet.runner.spec import Spec
from linnet.runner.task_io import ExecutorTask
from linnet.runner.unsupported import unsupported_features
from tests.engine.random_dags import parts
from tests.engine.random_dags.programs import (
    Branches,
    Condition,
    Expected,
    Handled,
    Loop,
    Nested,
    Outcome,
    Program,
    Ref,
    Statement,
    Task,
    nested,
)


class _Writer:
    """Says a program in the SDK's words, while the SDK listens."""

    def __init__(self, folder: Path, body: tuple[Statement, ...]) -> None:
        self._folder = folder
        # The SDK takes no definition of a pipeline within another's.
        self._pipelines: dict[str, Any] = {}
        for group in nested(body):
            self._pipelines[group.name] = self._pipeline(group)

    def body(self, body: tuple[Statement, ...], values: dict[str, Any]) -> None:
        for statement in body:
            getattr(self, f"_{type(statement).__name__.lower()}")(statement, values)

    def _task(self, task: Task, values: dict[str, Any]) -> None:
        given = [_value(ref, values) for ref in task.takes]
        component, names = getattr(parts, task.kind), {
            "add": ("a", "b"), "soft": ("a",), "digits": ("word", "a"), "numbers": ("count",),
            "total": ("values",), "flaky": ("a",), "fail": ("a",),
        }[task.kind]  # fmt: skip
        if task.kind == "digits":
            given[0] = f"{given[0]}"
        more = {}
        if task.kind == "flaky":
            me = dsl.PIPELINE_TASK_ID_PLACEHOLDER
            more = {"folder": str(self._folder), "me": me, "fails": task.fails}
        made = component(**dict(zip(names, given, strict=True)), **more).set_display_name(task.name)
        if task.after:
            made.after(*(values[f"after {name}"] for name in task.after))
        if task.retries:
            made.set_retry(task.retries, backoff_duration="0s")
        if task.ignores:
            made.ignore_upstream_failure()
        values[task.name], values[f"after {task.name}"] = made.output, made

    def _branches(self, group: Branches, values: dict[str, Any]) -> None:
        chosen = []
        for number, (condition, body) in enumerate(group.branches):
            inner = dict(values)
            with self._branch(number, condition, values):
                self.body(body, inner)
            if group.one_of:
                chosen.append(inner[group.one_of[number]])
        if chosen:
            values[group.name] = dsl.OneOf(*chosen)

    def _branch(self, number: int, condition: Condition | None, values: dict[str, Any]) -> Any:
        if condition is None:
            return dsl.Else()
        left, right = values[condition.left], condition.right
        holds = {
            "==": lambda: left == right, "!=": lambda: left != right, "<": lambda: left < right,
            ">": lambda: left > right, "<=": lambda: left <= right, ">=": lambda: left >= right,
        }[condition.sign]()  # fmt: skip
        return dsl.Elif(holds) if number else dsl.If(holds)

    def _loop(self, loop: Loop, values: dict[str, Any]) -> None:
        items = values[loop.items] if isinstance(loop.items, str) else list(loop.items)
        inner = dict(values)
        with dsl.ParallelFor(items, parallelism=loop.parallelism or None) as item:
            inner[f"{loop.name}.item"] = item
            self.body(loop.body, inner)
        if loop.collects:
            # Not yet `dsl.Collected`: the SDK changes that when a task takes it.
            values[loop.name] = partial(dsl.Collected, inner[loop.collects])

    def _nested(self, group: Nested, values: dict[str, Any]) -> None:
        x, y = (_value(ref, values) for ref in group.takes)
        values[group.name] = self._pipelines[group.name](x=x, y=y).output

    def _pipeline(self, group: Nested) -> Any:
        def inner(x: int, y: int) -> int:
            known = {f"{group.name}.x": x, f"{group.name}.y": y}
            self.body(group.body, known)
            return known[group.gives]

        return dsl.pipeline(name=group.name)(inner)

    def _handled(self, group: Handled, values: dict[str, Any]) -> None:
        with dsl.ExitHandler(parts.last().set_display_name(group.last)):
            self.body(group.body, dict(values))


def _value(ref: Ref, values: dict[str, Any]) -> Any:
    found = values[ref] if isinstance(ref, str) else ref
    return found() if isinstance(found, partial) else found


def compiled(program: Program, folder: Path) -> Spec:
    """The program by the SDK's real compiler. `folder`: where tasks that fail at first count their tries."""

    def random_dag(x: int, y: int) -> None:
        writer.body(program.body, {"x": x, "y": y})

    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            writer = _Writer(folder, program.body)
            made = dsl.pipeline(name="random-dag")(random_dag)
        except (AssertionError, KeyError) as error:
            # The SDK's compiler mixes up groups of one name in several nested pipelines (kfp 2.17.0).
            if traceback.extract_tb(error.__traceback__)[-1].filename == __file__:
                raise
            reject()
    spec = Spec.from_values(json.loads(json.dumps(_message(made))))
    # The SDK loses a group's tasks where a nested pipeline has a group of the same name (kfp 2.17.0).
    assume(not unsupported_features(spec) and _gives_what_it_takes(spec))
    return spec


def _gives_what_it_takes(spec: Spec) -> bool:
    """Whether every group has the inputs, and every producer the outputs, that tasks take from it.

    The SDK forgets the item of a loop around `If` and `Else` that is a part of a text, and a `OneOf` that
    only a condition is about (kfp 2.17.0): a cluster fails such a task, too.
    """
    components = spec.pipeline.get("components", {})
    for around in [spec.root, *components.values()]:
        tasks = around.get("dag", {}).get("tasks", {})
        for task in tasks.values():
            for source in task.get("inputs", {}).get("parameters", {}).values():
                given, wanted = around.get("inputDefinitions", {}), source.get("componentInputParameter")
                if "taskOutputParameter" in source:
                    producer = tasks[source["taskOutputParameter"]["producerTask"]]["componentRef"]["name"]
                    given = components[producer].get("outputDefinitions", {})
                    wanted = source["taskOutputParameter"]["outputParameterKey"]
                if wanted is not None and wanted not in given.get("parameters", {}):
                    return False
    return True


def _message(pipeline: Any) -> dict[str, Any]:
    from google.protobuf import json_format

    return dict(json_format.MessageToDict(pipeline.pipeline_spec))


class InProcess:
    """`Tasks` whose programs are the SDK's executor, called here; which of them ends first is drawn."""

    def __init__(self, spec: Spec, folder: Path, names: Names, seed: int) -> None:
        self._spec, self._folder, self._names = spec, folder, names
        self._random, self._running = random.Random(seed), list[tuple[Node, dict[str, Any]]]()

    def start(self, node: Node, arguments: dict[str, Any]) -> TaskOutcome | None:
        self._running.append((node, dict(arguments)))
        return None

    def finished(self, node: Node, arguments: dict[str, Any]) -> TaskOutcome | None:
        return None

    def wait(self, until: float | None) -> list[tuple[Node, TaskOutcome]]:
        if not self._running:
            return []
        node, arguments = self._running.pop(self._random.randrange(len(self._running)))
        root = self._folder / "artifacts" / node.path
        task = ExecutorTask(self._spec, node, arguments, self._folder, root, self._names)
        program = task.prepare(self._folder / "log.txt")
        told = dict(zip(program.words[::2], program.words[1::2], strict=True))
        try:
            function = _functions(program.source.read_text())[told["--function_to_execute"]]
            executor.Executor(json.loads(told["--executor_input"]), function).execute()
            return [(node, TaskOutcome(True, task.outputs()))]
        except (RunError, RuntimeError, AssertionError) as error:
            return [(node, TaskOutcome(False, error=f"{type(error).__name__}: {error}"))]

    def changed(self, node: Node) -> None:
        pass

    def cancel(self) -> None:
        raise AssertionError("nobody stops it")


@cache
def _functions(source: str) -> dict[str, Any]:
    made: dict[str, Any] = {}
    exec(compile(source, "component", "exec"), made)
    return made


def run_here(program: Program, folder: Path, seed: int, width: int) -> tuple[Expected, Spec]:
    """What the driver makes of a program, its programs called in this process."""
    (folder / "tries").mkdir(parents=True)
    spec = compiled(program, folder / "tries")
    names = Names(Job(run_id="run", created_at=datetime.now(UTC)), str(folder / "artifacts"))
    driver = Driver(spec, _inputs(program), InProcess(spec, folder, names, seed), names, width)
    worked = driver.run()
    told = Counter(
        _outcome(node.label, node.path, node.state, node.attempts, node.outputs.get("Output"))
        for node in driver.nodes()
        if not node.is_group
    )
    return Expected(told, not worked), spec


def run_in_worker(program: Program, width: int) -> Expected:
    """The same by a run's real worker, with one process per task and records on disk."""
    _, folder = runs.create("random-dag", {"name": "random"}, RunRequest(cause="person", actor="test"))
    (folder / "tries").mkdir()
    (folder / "pipeline.json").write_text(compiled(program, folder / "tries").text())
    (folder / "parameters.json").write_text(json.dumps(_inputs(program)))
    if (pid := os.fork()) == 0:  # it takes signals and orphans over, and ends what it finds below it
        try:
            run_worker.execute(folder, width)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    tasks = [TaskRecord.load(file) for file in (folder / "tasks").glob("*.json")]
    told = Counter(
        _outcome(task.name, task.path, task.state, task.attempts, task.parameters.get("Output"))
        for task in tasks
        if task.kind == "program"
    )
    return Expected(told, runs.load(folder).state == "failed")


def _inputs(program: Program) -> dict[str, Any]:
    return dict(zip("xy", program.inputs, strict=True))


def _outcome(label: str, path: str, state: str, attempts: int, output: Any) -> Outcome:
    where = tuple(int(part) for part in path.split(".") if re.fullmatch(r"\d+", part))
    return label, where, state, attempts, json.dumps(output)
