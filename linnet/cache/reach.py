"""What a step's code can reach: the modules that its import graph names, their data files, and packages.

A component's file is where it starts; imports within functions count like those on top, and so do the
components' own. A module of Linnet that is not reached may change as it likes: the step's result stands.
Modules that only hand names on (`linnet/config/__init__.py`) are looked through: who takes one name
reaches the module that defines it, and not its neighbors.

Every step asks, so that files are read once: what stands in one is remembered under its inode, size and
times (`Memo` says when those vouch for it).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from linnet.cache.digest import text_digest
from linnet.cache.imports import Imports, imports_of
from linnet.cache.memo import Memo, at_rest, boot_id, is_local

PACKAGES = ("linnet", "components", "pipelines", "feature_repo")
"""What this repository installs, side by side."""


@dataclass(frozen=True)
class Source:
    """One file of the repository's packages."""

    digest: str
    imports: Imports


@dataclass(frozen=True)
class Reach:
    """What a step's code can reach."""

    files: dict[str, str]
    """Digest of each module and data file, by its path such as `linnet/training/train.py`."""
    imported: frozenset[str]
    """Dotted names of everything else that they import."""


def reach(code: Path, library: Path, memo: Memo | None = None) -> Reach:
    """What the component in the file `code` can reach; `library`: the installed folder of `linnet`.

    Raises:
        OSError: a file cannot be read.
        SyntaxError: `code` is not Python.
    """
    sources = read_sources(library, memo)
    graph = _Graph(sources)
    graph.follow(imports_of(code.read_text("utf-8"), "__main__", is_package=False), "")
    files = {name: sources[name].digest for name in sorted(graph.reached)}
    return Reach(files, frozenset(graph.others))


class _Graph:
    """Follows imports from file to file."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self.sources = sources
        self.reached: set[str] = set()
        self.others: set[str] = set()
        self._data: dict[str, list[str]] = {}
        for name in sources:
            if not name.endswith(".py"):
                self._data.setdefault(name.rpartition("/")[0], []).append(name)

    def follow(self, imports: Imports, file: str) -> None:
        for module in imports.modules:
            self._module(module)
        for module, name in imports.names:
            self._name(module, name)
        folder = file.rpartition("/")[0]
        for text in imports.strings:
            if "." in text and text.split(".")[0] in PACKAGES:
                for found in self._named(text):
                    self._enter(found)
                self._enter(f"{text.replace('.', '/')}/__main__.py")  # `python -m` runs it
            if folder:
                self._enter(f"{folder}/{text}")

    def _enter(self, file: str) -> None:
        if file not in self.sources or file in self.reached:
            return
        self.reached.add(file)
        folder = file.rpartition("/")[0]
        if file.endswith(".py"):
            for data in self._data.get(folder, ()):
                self._enter(data)
        self.follow(self.sources[file].imports, file)

    def _named(self, text: str) -> list[str]:
        """The files of a dotted name; `*` in it stands for any folder."""
        if "*" not in text:
            return [found] if (found := self._file(text)) else []
        pattern = re.compile(re.escape(text.replace(".", "/")).replace(r"\*", "[^/]+") + r"\.py")
        return [name for name in self.sources if pattern.fullmatch(name)]

    def _file(self, module: str) -> str:
        path = module.replace(".", "/")
        return next((f for f in (f"{path}.py", f"{path}/__init__.py") if f in self.sources), "")

    def _module(self, module: str) -> None:
        """`import a.b`: all that is above b runs too."""
        if module.split(".")[0] not in PACKAGES:
            self.others.add(module)
            return
        parts = module.split(".")
        for depth in range(1, len(parts) + 1):
            file = self._file(".".join(parts[:depth]))
            if depth == len(parts) or (file and self.sources[file].imports.exports is None):
                self._enter(file)

    def _name(self, module: str, name: str) -> None:
        """`from a.b import c`: c may be a module, a name of a.b, or one that a.b hands on."""
        if module.split(".")[0] not in PACKAGES:
            self.others.add(module)
            return
        if self._file(f"{module}.{name}"):
            self._module(f"{module}.{name}")
            return
        file = self._file(module)
        exports = self.sources[file].imports.exports if file else None
        handed_on = [(origin, there) for here, origin, there in exports or () if here == name]
        if handed_on and handed_on[0][0] != "__future__":
            self._name(*handed_on[0])
        else:
            self._module(module)


def read_sources(library: Path, memo: Memo | None = None) -> dict[str, Source]:
    """All files of the repository's packages, by path below the folder that holds them."""
    states = {}
    for package in PACKAGES:
        root = library if package == "linnet" else library.parent / package
        states.update({f"{package}/{name}": (path, state) for name, path, state in _files(root)})
    memory = f"sources-{text_digest(str(library))[:16]}"
    known = _recall(memo, memory)
    sources: dict[str, Source] = {}
    told: dict[str, Any] = {}
    for name, (path, state) in states.items():
        before = known.get(name)
        if before is not None and before[0] == list(state):
            sources[name], told[name] = _plain_source(before[1], before[2]), before
            continue
        rested = at_rest(state[-1])
        sources[name] = _read_once(path, name, state) if rested else _read(path, name)
        if rested:
            told[name] = [list(state), sources[name].digest, _values(sources[name].imports)]
    if memo is not None and told != known and is_local(library / "x"):
        memo.keep_as(memory, boot_id(), json.dumps(told))
    return sources


def _recall(memo: Memo | None, name: str) -> dict[str, Any]:
    kept = memo.recall_as(name, boot_id()) if memo is not None else None
    known: dict[str, Any] = json.loads(kept) if kept else {}
    return known


def _values(imports: Imports) -> list[Any]:
    return [imports.modules, imports.names, imports.strings, imports.exports]


def _plain_source(digest: str, values: list[Any]) -> Source:
    modules, names, strings, exports = values
    pairs = tuple((module, name) for module, name in names)
    handed = None if exports is None else tuple((here, origin, there) for here, origin, there in exports)
    return Source(digest, Imports(tuple(modules), pairs, tuple(strings), handed))


@lru_cache(maxsize=4096)
def _read_once(path: str, name: str, state: tuple[int, int, int, int]) -> Source:  # noqa: ARG001
    """What stands in a file that was at rest in that state: this process reads it once."""
    return _read(path, name)


def _read(path: str, name: str) -> Source:
    content = Path(path).read_bytes()
    module = name.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    imports = Imports()
    if name.endswith(".py"):
        try:
            imports = imports_of(content.decode("utf-8"), module, name.endswith("/__init__.py"))
        except (SyntaxError, UnicodeDecodeError):  # who imports it will hear it from Python
            imports = Imports()
    return Source(text_digest(content.hex()), imports)


def _files(root: Path) -> list[tuple[str, str, tuple[int, int, int, int]]]:
    """Name below `root`, path, and (inode, size, mtime, ctime) of each file; one stat each.

    The time of change too, because that of modification can be set back: such an edit would still be seen.
    """
    found: list[tuple[str, str, tuple[int, int, int, int]]] = []
    top, folders = len(str(root)) + 1, [str(root)]
    while folders:
        try:
            entries = os.scandir(folders.pop())
        except FileNotFoundError:
            continue  # an image need not have all packages
        with entries:
            for entry in entries:
                if entry.is_dir():
                    if entry.name != "__pycache__":
                        folders.append(entry.path)
                elif not entry.name.endswith((".pyc", "~")) and not entry.name.startswith("."):
                    about = entry.stat()
                    state = about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns
                    found.append((entry.path[top:], entry.path, state))
    return found
