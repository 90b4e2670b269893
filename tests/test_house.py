"""Rules of the house that no linter knows."""

from __future__ import annotations

import ast
import re
import sys
from itertools import product
from pathlib import Path

from _pytest.mark.expression import Expression

ROOT = Path(__file__).parent.parent
FOLDERS = ("linnet", "components", "pipelines", "feature_repo", "tests", "benchmarks")
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


LONG_FILES = {
    "linnet/deployment/rollout.py": "16 fields that are saved and taken up again: to become a frozen state",
    "linnet/registry/champion.py": "a move and its repair read side by side",
    "linnet/runner/containers.py": "one container from its command to its end",
    "linnet/runner/dag.py": "the nodes of a run and their order",
    "linnet/runner/task_runner.py": "a task's attempts share what was printed, killed and kept",
    "linnet/serving/app.py": "each route in one method of one class",
    "linnet/serving/http.py": "the limits of a connection are kept where its bytes come",
    "linnet/serving/version_manager.py": "every change of routes holds the same lock",
}
"""Files of linnet/ with more than 300 lines, and why."""
LONG_FUNCTIONS = {"linnet/training/train.py::_train": "the training loop is read from top to bottom"}
"""Functions with more than 60 lines, their docstring (of a command: its help) left out, and why."""


def test_modules_have_at_most_400_lines_and_those_of_the_library_300() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in MODULES}
    assert len(lengths) > 100
    assert {path: length for path, length in lengths.items() if length > 400} == {}
    long = {path: length for path, length in lengths.items() if path.startswith("linnet/") and length > 300}
    assert long.keys() == LONG_FILES.keys(), f"longer than 300 lines: {long}"


def test_functions_have_at_most_60_lines() -> None:
    long: dict[str, int] = {}
    for path in MODULES:
        name = path.relative_to(ROOT)
        if name.parts[0] in ("linnet", "components"):
            for function, length in _lengths(ast.parse(path.read_text("utf-8"))).items():
                long |= {f"{name}::{function}": length} if length > 60 else {}
    assert long.keys() == LONG_FUNCTIONS.keys(), f"longer than 60 lines: {long}"


def test_length_of_a_function_leaves_its_docstring_out() -> None:
    lines = ["async def f() -> None:", '    """Two', '    lines."""', "    a = 1", "    return a"]
    assert _lengths(ast.parse("\n".join(lines))) == {"f": 3}


def _lengths(tree: ast.Module) -> dict[str, int]:
    """Lines of each function, those of functions within it too, but not of its docstring."""
    found: dict[str, int] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            told = node.body[0] if ast.get_docstring(node) else None
            said = told.end_lineno - told.lineno + 1 if told and told.end_lineno else 0
            length = (node.end_lineno or node.lineno) - node.lineno + 1 - said
            found[node.name] = max(found.get(node.name, 0), length)
    return found


def test_step_folders_load_nothing_by_themselves() -> None:
    for path in (ROOT / "linnet").glob("*/__init__.py"):
        if path.parent.name in ("config", "records"):  # not steps: one vocabulary, kept in several files
            continue
        assert path.read_text("utf-8").strip() == "", f"{path} must stay empty"


def test_components_are_thin() -> None:
    for path in (ROOT / "components").glob("[a-z]*.py"):
        assert len(path.read_text("utf-8").splitlines()) <= 70, f"{path.name} does more than translate"


def test_no_path_of_the_state_folder_is_written_out() -> None:
    """`LINNET_HOME` moves it: whoever writes `.linnet/...` into code means another folder than the rest."""
    written = re.compile(r"""Path\(["']\.linnet""")
    files = [path for path in MODULES if path.relative_to(ROOT).parts[0] != "tests"]
    found = [str(path.relative_to(ROOT)) for path in files if written.search(path.read_text("utf-8"))]
    assert found == []


def test_each_test_is_run_by_one_target_and_only_proofs_are_left_out_of_ci() -> None:
    targets = re.split(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), flags=re.M)
    recipes = dict(zip(targets[1::2], targets[2::2], strict=True))
    marks = {
        name: Expression.compile(re.findall(r"-m [\"']?([a-z ]*[a-z])", recipes[name])[-1])
        for name in ("test", "slow", "proof")
    }
    ci = set(re.findall(r"^make (\w+)$", (ROOT / ".ci" / "run").read_text("utf-8"), re.M))
    for slow, proof in product((False, True), repeat=2):
        has = {"slow": slow, "proof": proof}
        runs = [name for name, mark in marks.items() if mark.evaluate(lambda name, **_: has[name])]  # noqa: B023
        assert len(runs) == 1, f"a test marked {has} is run by {runs}"
        assert proof or runs[0] in ci, f"CI does not run tests marked {has}"


def test_no_files_import_each_other_in_a_circle() -> None:
    """Imports inside functions and of types count too: they are only a way not to see the circle."""
    assert _circles(_imports(("linnet", "components", "pipelines"))) == []


def test_circle_would_be_found() -> None:
    assert _circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


def _imports(packages: tuple[str, ...]) -> dict[str, set[str]]:
    """Each module with the modules of these packages that it imports anywhere in its file."""
    files = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in MODULES
        if path.relative_to(ROOT).parts[0] in packages
    }
    found: dict[str, set[str]] = {}
    for module, path in files.items():
        names: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                names |= {name if name in files else node.module for name in inner}
        found[module] = (names & files.keys()) - {module}
    return found


def _circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The strongly connected components of more than one module (Tarjan)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        order[module] = lowest[module] = len(order)
        stack.append(module)
        for needed in graph[module]:
            if needed not in order:
                visit(needed)
                lowest[module] = min(lowest[module], lowest[needed])
            elif needed in stack:
                lowest[module] = min(lowest[module], order[needed])
        if lowest[module] == order[module]:
            circle = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(circle) > 1:
                found.append(sorted(circle))

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, 10 * len(graph)))
    try:
        for module in graph:
            if module not in order:
                visit(module)
    finally:
        sys.setrecursionlimit(limit)
    return found
