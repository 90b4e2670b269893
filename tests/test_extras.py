"""Each extra is enough for what it promises: all other installed packages are out of reach here."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.serving.packages import image_of, make_package

ROOT = Path(__file__).parent.parent
BLOCKER = """
import json, sys
blocked = set(json.loads(sys.argv[1]))

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"{name} is not in the extra", name=name)

sys.meta_path.insert(0, Blocker())
exec(sys.argv[2])
"""


def distributions_of(lines: list[str]) -> set[str]:
    """The distributions that the requirements need, all the way down, as they are installed here."""
    waiting = [Requirement(line) for line in lines]
    found: set[tuple[str, str]] = set()
    while waiting:
        need = waiting.pop()
        for extra in {"", *need.extras}:
            if (canonicalize_name(need.name), extra) in found:
                continue
            found.add((canonicalize_name(need.name), extra))
            further = [Requirement(line) for line in requires(need.name) or []]
            waiting += [r for r in further if r.marker is None or r.marker.evaluate({"extra": extra})]
    return {name for name, _ in found}


def modules_outside(extra: str) -> list[str]:
    """Installed top-level modules that `pip install linnet[extra]` would not have brought."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    needed = distributions_of(
        project["dependencies"] + (project["optional-dependencies"][extra] if extra else [])
    )
    return [
        module
        for module, owners in packages_distributions().items()
        if not {canonicalize_name(owner) for owner in owners} & {*needed, "linnet"}
    ]


def run_with(extra: str, code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BLOCKER, json.dumps(modules_outside(extra)), code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_blocker_keeps_other_packages_out() -> None:
    done = run_with("serving", "import onnxruntime, torch")
    assert done.returncode == 1 and "torch is not in the extra" in done.stderr


@pytest.mark.parametrize(
    ("extra", "modules"),
    [
        ("", ("linnet.cli", "linnet.config", "linnet.records", "linnet.run.step", "linnet.run.runs")),
        ("serving", ("linnet.serving.__main__", "linnet.serving.server", "linnet.serving.worker", "pyarrow")),
        pytest.param(
            *("training", ("linnet.training.__main__", "linnet.training.train", "linnet.vision.networks")),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_extra_is_enough_to_import(extra: str, modules: tuple[str, ...]) -> None:
    done = run_with(extra, f"import {', '.join(modules)}")
    assert done.returncode == 0, done.stderr


def test_serving_extra_is_enough_to_predict(tmp_path: Path) -> None:
    from linnet.vision.decode import encode_png

    package = make_package(tmp_path / "package")
    (tmp_path / "image.png").write_bytes(encode_png(image_of(200, 8, 8)))
    code = (
        "from pathlib import Path; from linnet.serving.local import local_answers; "
        f"print(list(local_answers(Path({str(package)!r}), 'm', '1', "
        f"[Path({str(tmp_path / 'image.png')!r})])))"
    )
    done = run_with("serving", code)
    assert done.returncode == 0, done.stderr
    assert "'version': '1'" in done.stdout


@pytest.mark.slow
def test_training_extra_is_enough_for_the_command() -> None:
    done = run_with("training", "from linnet.training.__main__ import main; main(['--help'])")
    assert done.returncode == 0, done.stderr
    assert "--training-set" in done.stdout
