"""What a step's key takes: a change in a module that it reaches re-runs it, one in any other does not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from linnet.cache import key as cache_key
from linnet.cache.imports import computed_imports
from linnet.cache.memo import REST_NS, Memo
from linnet.cache.packages import versions_of
from linnet.cache.reach import PACKAGES, reach

ROOT = Path(__file__).parents[2]
COMPONENTS = sorted(
    file.stem for file in (ROOT / "components").glob("*.py") if file.stem not in ("__init__", "image")
)
NEVER = ("linnet/console/theme.py", "linnet/commands/up.py", "linnet/engine/store.py")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository's packages."""
    root = tmp_path_factory.mktemp("tree")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    time.sleep(REST_NS / 1e9 * 1.5)
    return root


def digests(root: Path, component: str, memo: Memo | None) -> dict[str, str]:
    return reach(root / "components" / f"{component}.py", root / "linnet", memo).files


@pytest.mark.parametrize(
    "component", ["ingest", "validate", "build_features", "train", "evaluate", "package"]
)
def test_change_counts_for_each_module_that_is_reached_and_for_no_other(
    tree: Path, component: str, tmp_path: Path
) -> None:
    memo = Memo(tmp_path)
    before = digests(tree, component, memo)
    assert not set(NEVER) & set(before)
    files = {
        str(file.relative_to(tree)): file for package in PACKAGES for file in (tree / package).rglob("*.py")
    }
    texts = {name: file.read_bytes() for name, file in files.items()}
    others = sorted(set(files) - set(before))
    for name in others:
        files[name].write_bytes(texts[name] + b"# a comment\n")
    assert digests(tree, component, memo) == before
    for name in set(files) & set(before):
        files[name].write_bytes(texts[name] + b"# a comment\n")
    after = digests(tree, component, memo)
    assert {name for name in after if after[name] != before[name]} == set(files) & set(before)
    for name, text in texts.items():
        files[name].write_bytes(text)


def test_change_in_one_module_is_named(tree: Path, tmp_path: Path) -> None:
    memo = Memo(tmp_path)
    before = digests(tree, "train", memo)
    for name in ("linnet/training/train.py", "linnet/run/step.py", "linnet/vision/networks.py"):
        text = (tree / name).read_bytes()
        (tree / name).write_bytes(text + b"X = 1\n")
        after = digests(tree, "train", memo)
        assert {file for file in after if after[file] != before[file]} == {name}
        (tree / name).write_bytes(text)
    assert digests(tree, "train", memo) == before == digests(tree, "train", None)


EXPECTED = {
    "ingest": ({"linnet/data/dvc_pull.py", "linnet/run/step.py"}, {"linnet/training/train.py"}),
    "train": ({"linnet/training/__main__.py", "linnet/config/training.py"}, {"linnet/config/evaluation.py"}),
    "evaluate": ({"linnet/evaluation/gates.py", "linnet/config/evaluation.py"}, {"linnet/serving/app.py"}),
    "build_features": ({"feature_repo/views.py", "feature_repo/feature_store.yaml"}, {"linnet/cli.py"}),
    "package": ({"linnet/serving/worker.py"}, {"linnet/training/train.py"}),
}  # fmt: skip


@pytest.mark.parametrize("component", EXPECTED)
def test_reach_has_what_a_reader_of_the_code_expects(component: str) -> None:
    reached, others = EXPECTED[component]
    found = set(digests(ROOT, component, None))
    assert reached <= found, sorted(reached - found)
    assert not others & found


LOADED = """
import importlib, runpy, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
found = [module.__file__ for name, module in sys.modules.items() if name.startswith("linnet")]
print("\\n".join(file for file in found if file))
"""


@pytest.mark.parametrize("component", ["ingest", pytest.param("validate", marks=pytest.mark.slow)])
def test_python_loads_nothing_that_the_graph_lacks_but_neighbors_in_packages(component: str) -> None:
    """What a package's `__init__` hands on to others is loaded as well, and nothing of it is used."""
    found = digests(ROOT, component, None)
    names = [file[:-3].replace("/", ".") for file in found if file.startswith("linnet/") and "__" not in file]
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *names], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = {str(Path(line).relative_to(ROOT)) for line in done.stdout.splitlines()}
    handing_on = {"linnet/config", "linnet/records"}
    missing = {file for file in loaded - set(found) if file.rpartition("/")[0] not in handing_on}
    assert not {file for file in missing if not file.endswith("/__init__.py")}


def test_module_that_imports_by_a_computed_name_declares_which(tmp_path: Path) -> None:
    memo = Memo(tmp_path)
    files = {file for c in COMPONENTS for file in digests(ROOT, c, memo) if file.endswith(".py")}
    lines = {file: computed_imports((ROOT / file).read_text()) for file in sorted(files)}
    assert {file: found for file, found in lines.items() if found} == {}


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def reached(root: Path, code: str) -> set[str]:
    file = write(root, {"code.py": code}) / "code.py"
    return set(reach(file, root / "linnet").files)


def test_every_way_to_name_a_module_is_seen(tmp_path: Path) -> None:
    names = [
        "top",
        "inner",
        "relative",
        "literal",
        "command",
        "declared",
        "decorated",
        "star",
        "attribute",
        "data",
    ]
    write(tmp_path, {f"linnet/a/{name}.py": "X = 1\n" for name in names})
    packages = {"linnet/__init__.py": "", "linnet/a/__init__.py": "Y = 1\n"}
    write(tmp_path, {**packages, "linnet/b.py": "from .a import relative\n"})
    code = """
import linnet.a.top
from linnet.a.star import *
from linnet import b
from linnet.a import attribute as other
if TYPE_CHECKING:
    from linnet.a import decorated
def work():
    from linnet.a.inner import X
    importlib.import_module("linnet.a.literal")
    run([python, "-m", "linnet.a.command"])
DYNAMIC_IMPORTS = ("linnet.a.declared",)
"""
    found = reached(tmp_path, code)
    assert {f"linnet/a/{name}.py" for name in names} - found == {"linnet/a/decorated.py", "linnet/a/data.py"}
    assert "linnet/a/__init__.py" in found


def test_data_files_beside_a_reached_module_count(tmp_path: Path) -> None:
    write(tmp_path, {"linnet/a/read.py": "X = 1\n", "linnet/a/table.json": "{}", "linnet/b/other.json": "{}"})
    assert reached(tmp_path, "from linnet.a.read import X\n") == {"linnet/a/read.py", "linnet/a/table.json"}


def test_package_that_hands_names_on_is_looked_through(tmp_path: Path) -> None:
    text = '"""Hands on."""\nfrom linnet.p.one import One\nfrom linnet.p.two import Two as Zwei\n'
    text += '__all__ = ["One"]\n'
    write(
        tmp_path,
        {"linnet/p/__init__.py": text, "linnet/p/one.py": "One = 1\n", "linnet/p/two.py": "Two = 2\n"},
    )
    assert reached(tmp_path, "from linnet.p import One\n") == {"linnet/p/one.py"}
    assert reached(tmp_path, "from linnet.p import Zwei\n") == {"linnet/p/two.py"}
    assert reached(tmp_path, "import linnet.p\n") == {f"linnet/p/{n}.py" for n in ("__init__", "one", "two")}
    write(tmp_path, {"linnet/p/__init__.py": text + "register(One)\n"})
    assert len(reached(tmp_path, "from linnet.p import One\n")) == 3, "it does more than to hand names on"


def test_versions_are_those_of_what_is_imported_and_what_that_needs() -> None:
    found = versions_of(["torch.nn", "json", "not_there_at_all"])
    assert found["torch"].startswith("2.") and "sympy" in found and "mlflow" not in found
    assert found["not_there_at_all"] == "absent" and "json" not in found
    assert "feast" not in cache_key.reached_by(ROOT / "components" / "train.py")[1]


def test_key_of_a_step_is_computed_in_less_than_100_ms(tmp_path: Path) -> None:
    memo, code = Memo(tmp_path), ROOT / "components" / "evaluate.py"
    cache_key.reached_by(code, memo)
    times = []
    for _ in range(7):
        started = time.process_time()
        cache_key.reached_by(code, memo)
        times.append(time.process_time() - started)
    assert min(times) < 0.1, times


def test_key_does_not_depend_on_where_the_library_lies(tree: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "site-packages"
    shutil.copytree(tree, elsewhere)
    os.utime(elsewhere / "linnet" / "errors.py")
    for component in ("ingest", "train"):
        assert digests(elsewhere, component, None) == digests(tree, component, None)
