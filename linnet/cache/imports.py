"""What one source file names: the modules that it imports, wherever in it, and the files beside it.

Static, from the text alone. A module that is imported by a computed name cannot be seen; it counts where
its dotted name stands in the file as a string (`DYNAMIC_IMPORTS = ("feature_repo.features",)`), as do the
`-m linnet.training` of a command and the literal argument of `import_module`.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import lru_cache

DECLARATION = "DYNAMIC_IMPORTS"
"""The tuple in which a module that imports by computed names says which these may be."""
_DYNAMIC = {"import_module", "__import__", "spec_from_file_location", "run_module", "run_path"}
_NAME = re.compile(r"[\w*-]{1,60}(\.[\w*-]{1,60}){1,6}")
"""Of a module below another one (`linnet.training`), of several (`linnet.tasks.*.answer`), or of a file
(`table.json`)."""


@dataclass(frozen=True)
class Imports:
    """The imports of one file."""

    modules: tuple[str, ...] = ()
    """Of `import a.b`: a.b."""
    names: tuple[tuple[str, str], ...] = ()
    """Of `from a.b import c`: (a.b, c)."""
    strings: tuple[str, ...] = ()
    """Strings that could be a module's dotted name or a file's."""
    exports: tuple[tuple[str, str, str], ...] | None = None
    """If it does nothing but hand names on: (its name, from which module, the name there)."""


@lru_cache(maxsize=4096)  # a process asks about the same texts for each of its steps
def imports_of(source: str, module: str, is_package: bool) -> Imports:
    """What a file's text imports; relative imports are resolved against its own dotted name.

    Raises:
        SyntaxError: it is not Python.
    """
    tree = ast.parse(source)
    modules: set[str] = set()
    names: set[tuple[str, str]] = set()
    strings: set[str] = set()
    for node in _run(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            origin = _origin(node, module, is_package)
            names |= {(origin, alias.name) for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _NAME.fullmatch(node.value):
            strings.add(node.value)
    exports = _exports(tree, module, is_package) if is_package else None
    return Imports(tuple(sorted(modules)), tuple(sorted(names)), tuple(sorted(strings)), exports)


def computed_imports(source: str) -> list[int]:
    """The lines on which a file imports by a computed name, unless it declares which ones."""
    tree = ast.parse(source)
    declared = any(
        isinstance(target, ast.Name) and target.id == DECLARATION
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    )
    if declared:
        return []
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _called(node) in _DYNAMIC]
    return [call.lineno for call in calls if not (call.args and isinstance(call.args[0], ast.Constant))]


def _called(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _run(tree: ast.AST) -> list[ast.AST]:
    """All nodes but those that only a type checker reads."""
    found: list[ast.AST] = []
    rest: list[ast.AST] = [tree]
    while rest:
        node = rest.pop()
        found.append(node)
        if isinstance(node, ast.If) and _is_type_checking(node.test):
            rest += node.orelse
        else:
            rest += ast.iter_child_nodes(node)
    return found


def _is_type_checking(test: ast.expr) -> bool:
    return "TYPE_CHECKING" in (getattr(test, "id", ""), getattr(test, "attr", ""))


def _origin(node: ast.ImportFrom, module: str, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    package = module.split(".") if is_package else module.split(".")[:-1]
    base = package[: len(package) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def _exports(tree: ast.Module, module: str, is_package: bool) -> tuple[tuple[str, str, str], ...] | None:
    """The names that a package's `__init__` hands on, if that is all it does."""
    found: list[tuple[str, str, str]] = []
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and all(alias.name != "*" for alias in node.names):
            origin = _origin(node, module, is_package)
            found += [(alias.asname or alias.name, origin, alias.name) for alias in node.names]
        elif isinstance(node, ast.Assign) and [getattr(t, "id", "") for t in node.targets] == ["__all__"]:
            continue
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            return None
    return tuple(found)
