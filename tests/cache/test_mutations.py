"""Whatever changes between two runs, none is served a result of other code, settings, contents or bytes.

A small DAG of real `run_step` calls, whose outputs are digests of everything that they depend on. A
random mutation, a run, a look at every output against what an empty cache would give; then a run with
nothing changed, which must work on nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from linnet.cache import key as cache_key
from linnet.cache import packages
from linnet.cache.key import DECLARED
from linnet.cache.memo import FLOOR
from linnet.run.step import run_step
from tests.run.test_step import Artifact

STEPS = {"ingest": (), "features": ("ingest",), "train": ("features",), "evaluate": ("train", "features")}
"""Each step with the steps whose outputs it takes."""
REACHED = {"ingest": ("m0",), "features": ("m0", "m1"), "train": ("m2", "extra"), "evaluate": ("m1",)}
"""The modules that each step imports; one of them comes and goes."""


def installed(site: Path, version: str) -> None:
    """The distribution `some`, as pip leaves it."""
    folder = site / f"some-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: some\nVersion: {version}\n")
    (folder / "RECORD").write_text("some/__init__.py,,\n")


@dataclass
class World:
    """All that the DAG depends on, in files and variables that a mutation may reach."""

    root: Path
    dice: random.Random
    monkeypatch: pytest.MonkeyPatch
    runs: int = 0
    parameters: dict[str, dict[str, Any]] = field(default_factory=dict)
    worked: list[str] = field(default_factory=list)

    @classmethod
    def make(cls, root: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> World:
        world = cls(root, random.Random(seed), monkeypatch)
        for name in ("code", "library/part", "site", "data/more"):
            (root / name).mkdir(parents=True)
        for step in STEPS:
            imports = "".join(f"from linnet.part import {name}\n" for name in REACHED[step])
            (root / "code" / f"{step}.py").write_text(f"{imports}import some\n# a\n")
            world.parameters[step] = {"alpha": 1, "beta": {"gamma": 0.5}}
        for number in range(3):
            (root / "library" / "part" / f"m{number}.py").write_text(f"X = {number}\n")
        installed(root / "site", "1.0")
        for number in range(4):
            size = 3 * FLOOR if number % 2 else 500
            (root / "data" / f"{number}.bin").write_bytes(world.dice.randbytes(size))
        monkeypatch.setattr(cache_key, "LIBRARY", root / "library")
        monkeypatch.setattr(packages.sysconfig, "get_path", lambda _: str(root / "site"))
        monkeypatch.setenv(DECLARED, "THREADS")
        monkeypatch.setenv("THREADS", "1")
        return world

    def truth(self, step: str, inputs: dict[str, Path]) -> str:
        """What the step's result must say: a digest of all that it may depend on, read as it is now."""
        digest = hashlib.sha256()
        part = self.root / "library" / "part"
        for file in (part / f"{name}.py" for name in REACHED[step]):
            digest.update(file.name.encode() + (file.read_bytes() if file.exists() else b"absent"))
        digest.update((self.root / "code" / f"{step}.py").read_bytes())
        digest.update(json.dumps(self.parameters[step], sort_keys=True).encode())
        digest.update(json.dumps(sorted(p.name for p in (self.root / "site").iterdir())).encode())
        digest.update(os.environ["THREADS"].encode())
        for name, path in sorted(inputs.items()):
            for file in sorted(p for p in path.rglob("*") if p.is_file()):
                digest.update(f"{name}/{file.relative_to(path)}".encode() + file.read_bytes())
        return digest.hexdigest()

    def run(self) -> list[str]:
        """Runs the DAG into fresh folders; the steps that gave something else than the truth."""
        self.runs += 1
        self.worked = []
        stale = []
        for step, needs in STEPS.items():
            inputs = {need: self.output(need) for need in needs} or {"data": self.root / "data"}
            out = Artifact(str(self.output(step)))
            values = run_step(
                step, self._work(step, inputs), code=str(self.root / "code" / f"{step}.py"),
                parameters=self.parameters[step], inputs=dict(inputs), outputs={"out": out},
            )  # fmt: skip
            truth = self.truth(step, inputs)
            written = (self.output(step) / "result").read_text()
            if not values["result"] == written == truth or self.filling(truth) != (
                (self.output(step) / "large").read_bytes()
            ):
                stale.append(step)
        return stale

    def output(self, step: str, run: int | None = None) -> Path:
        return self.root / "runs" / str(run or self.runs) / step

    def filling(self, truth: str) -> bytes:
        return truth.encode() * (3 * FLOOR // 64)

    def _work(self, step: str, inputs: dict[str, Path]) -> Callable[[Any], dict[str, Any]]:
        def work(out: Any) -> dict[str, Any]:
            self.worked.append(step)
            truth = self.truth(step, inputs)
            out["out"].mkdir()
            (out["out"] / "result").write_text(truth)
            (out["out"] / "large").write_bytes(self.filling(truth))
            return {"result": truth}

        return work

    def one_of(self, pattern: str) -> Path:
        """Some file below the root."""
        return self.dice.choice(sorted(p for p in self.root.glob(pattern) if p.is_file()))


def current_blob(world: World) -> Path:
    """The stored content of some output of the last run."""
    content = world.one_of(f"runs/{world.runs}/*/*").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return world.root / "state" / "cache" / "blobs" / digest[:2] / digest


def current_entry(world: World) -> Path:
    """The stored entry of some step of the last run."""
    newest = sorted(world.root.glob("state/cache/entries/*/*.json"), key=lambda p: p.stat().st_mtime_ns)
    return world.dice.choice(newest[-len(STEPS) :])


def in_place(world: World, file: Path) -> None:
    """Another byte under the same path, inode, size and mtime."""
    before = file.stat()
    file.chmod(0o644)
    with file.open("r+b") as stream:
        position = world.dice.randrange(before.st_size)
        stream.seek(position)
        byte = stream.read(1)[0]
        stream.seek(position)
        stream.write(bytes([byte ^ world.dice.randrange(1, 256)]))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced(world: World, file: Path) -> None:
    """Another file of the same name, size and mtime."""
    before = file.stat()
    other = file.with_name("other.tmp")
    other.write_bytes(world.dice.randbytes(before.st_size))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(file)


def text_edit(world: World, folder: str) -> None:
    file = world.one_of(f"{folder}/**/*.py")
    before = file.stat()
    file.write_text(file.read_text()[:-1] + world.dice.choice("abcdef") + "\n")
    if world.dice.random() < 0.5:
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def library_file_comes_or_goes(world: World) -> None:
    file = world.root / "library" / "part" / "extra.py"
    file.unlink() if file.exists() else file.write_text("")


def input_file_comes_goes_or_moves(world: World) -> None:
    spare = world.root / "data" / "more" / "spare.bin"
    if not spare.exists():
        spare.write_bytes(world.dice.randbytes(world.dice.choice((0, 100, 2 * FLOOR))))
    elif world.dice.random() < 0.5:
        spare.unlink()
    else:
        a, b = world.root / "data" / "0.bin", world.root / "data" / "2.bin"
        swap = a.with_name("swap")
        a.rename(swap), b.rename(a), swap.rename(b)


def input_longer_or_shorter(world: World) -> None:
    file = world.one_of("data/[0-9].bin")
    content = file.read_bytes()
    file.write_bytes(
        content[:-7] if len(content) > 200 and world.dice.random() < 0.5 else content + b"seven b"
    )


def parameter(world: World) -> None:
    values = world.parameters[world.dice.choice(sorted(STEPS))]
    if world.dice.random() < 0.5:
        values["alpha"] = world.dice.randrange(5)
    else:
        values["beta"] = {"gamma": world.dice.choice([0.5, 0.25, "0.5", None, [0.5]])}


def variable(world: World) -> None:
    world.monkeypatch.setenv("THREADS", str(world.dice.randrange(4)))


def package(world: World) -> None:
    (folder,) = (world.root / "site").iterdir()
    shutil.rmtree(folder)
    installed(world.root / "site", f"1.{world.dice.randrange(4)}")


def stored_output_flipped(world: World) -> None:
    in_place(world, current_blob(world))


def stored_output_swapped(world: World) -> None:
    """The bytes of one content under the name of another."""
    first = current_blob(world)
    twins = [p for p in world.root.glob("state/cache/blobs/*/*") if p.stat().st_size == first.stat().st_size]
    content, before = world.dice.choice([p for p in sorted(twins) if p != first]).read_bytes(), first.stat()
    first.chmod(0o644)
    first.write_bytes(content)
    os.utime(first, ns=(before.st_atime_ns, before.st_mtime_ns))


def stored_output_cut(world: World) -> None:
    file = current_blob(world)
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:-1])


def entry_flipped(world: World) -> None:
    in_place(world, current_entry(world))


def run_output_edited(world: World) -> None:
    """A person edits what the last run wrote, in place; a hard link carries it into the store."""
    in_place(world, world.one_of(f"runs/{world.runs}/*/*"))


MUTATIONS: dict[str, Callable[[World], None]] = {
    "code": lambda world: text_edit(world, "code"),
    "library": lambda world: text_edit(world, "library"),
    "library file": library_file_comes_or_goes,
    "parameter": parameter,
    "variable": variable,
    "package": package,
    "input in place": lambda world: in_place(world, world.one_of("data/[0-9].bin")),
    "input replaced": lambda world: replaced(world, world.one_of("data/[0-9].bin")),
    "input file": input_file_comes_goes_or_moves,
    "input length": input_longer_or_shorter,
    "stored output gone": lambda world: current_blob(world).unlink(),
    "stored output flipped": stored_output_flipped,
    "stored output swapped": stored_output_swapped,
    "stored output cut": stored_output_cut,
    "entry gone": lambda world: current_entry(world).unlink(),
    "entry flipped": entry_flipped,
    "run output edited": run_output_edited,
}


def mutate_often(world: World, times: int) -> Counter[str]:
    """Mutates and runs; the mutations after which a step really worked again."""
    effective: Counter[str] = Counter()
    assert world.run() == [] and world.worked == list(STEPS)
    for number in range(times):
        name = list(MUTATIONS)[number] if number < len(MUTATIONS) else world.dice.choice(list(MUTATIONS))
        if world.dice.random() < 0.5:
            assert world.run() == [] and world.worked == [], (
                f"a run with nothing changed worked on {world.worked}"
            )
        MUTATIONS[name](world)
        stale = world.run()
        assert stale == [], f"mutation {number} ({name}): stale results of {stale}"
        effective[name] += bool(world.worked)
    assert world.run() == [] and world.worked == []
    return effective


def test_60_random_mutations_give_no_stale_result(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    effective = mutate_often(World.make(tmp_path, 4, monkeypatch), 60)
    for name in ("code", "library", "input in place", "input replaced"):
        assert effective[name] > 0, f"{name} changed nothing: the test would see no stale result"


@pytest.mark.proof
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [1])
def test_500_random_mutations_give_no_stale_result(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    effective = mutate_often(World.make(tmp_path, seed, monkeypatch), 500)
    assert set(effective) == set(MUTATIONS) and all(effective[name] for name in MUTATIONS), effective
