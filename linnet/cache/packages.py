"""Installed distributions by what they let a program import, with their versions.

`importlib.metadata.packages_distributions` reads the file lists of all distributions each time, which
takes half a second; here the answer is remembered for as long as none is installed or removed.
"""

from __future__ import annotations

import json
import os
import re
import sys
import sysconfig
from collections.abc import Iterable
from email.message import Message
from email.parser import HeaderParser
from functools import lru_cache
from importlib import metadata
from typing import Any

from linnet.cache.digest import text_digest
from linnet.cache.memo import Memo, at_rest, boot_id

ABSENT = "absent"
"""The version of what is not installed: a step may import it within `try`."""
_ALONE = {"kfp", "kfp-kubernetes"}
"""Distributions that only carry a step: what they need in turn does not reach its result."""
_FIRST_TWO = re.compile(r'^"?([^/,"\n]+)(?:/([^/,"\n]+))?', re.MULTILINE)
"""The first two parts of a path that a RECORD names."""


def versions_of(imported: Iterable[str], memo: Memo | None = None) -> dict[str, str]:
    """Versions, by name, of the distributions that modules with these dotted names come from.

    Those that the distributions need in turn are among them. Names of the standard library are left out.
    """
    about = _installed(memo)
    providers, needs, versions = about["providers"], about["needs"], about["versions"]
    found: dict[str, str] = {}
    waiting: list[str] = []
    for module in imported:
        top, *rest = module.split(".")
        if top in sys.stdlib_module_names:
            continue
        names = providers.get(".".join([top, *rest[:1]])) or providers.get(top)
        if names is None:
            found[top] = ABSENT
        waiting += names or []
    while waiting:
        name = waiting.pop()
        if name not in found and name in versions:
            found[name] = versions[name]
            waiting += [] if name in _ALONE else needs[name]
    return dict(sorted(found.items()))


def _installed(memo: Memo | None) -> dict[str, Any]:
    folders = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    states = [state for folder in folders for state in _states(folder)]
    signature = text_digest(json.dumps([boot_id(), states]))
    name = f"packages-{text_digest(sys.prefix)[:16]}"
    if memo is not None and (known := memo.recall_as(name, signature)) is not None:
        kept: dict[str, Any] = json.loads(known)
        return kept
    if not at_rest(max((state[1] for state in states), default=0)):
        return _read(folders)
    about = _read_once(tuple(folders), signature)
    if memo is not None:
        memo.keep_as(name, signature, json.dumps(about))
    return about


@lru_cache(maxsize=2)
def _read_once(folders: tuple[str, ...], signature: str) -> dict[str, Any]:  # noqa: ARG001
    """What folders of that signature hold: they were at rest, so it vouches for them."""
    return _read(list(folders))


def _states(folder: str) -> list[tuple[str, int]]:
    """Name and time of change of each distribution's folder of metadata."""
    try:
        with os.scandir(folder) as entries:
            return sorted(
                (entry.name, entry.stat().st_ctime_ns)
                for entry in entries
                if entry.name.endswith(".dist-info")
            )
    except OSError:
        return []


def _read(folders: list[str]) -> dict[str, Any]:
    providers: dict[str, list[str]] = {}
    needs: dict[str, list[str]] = {}
    versions: dict[str, str] = {}
    for distribution in metadata.distributions(path=folders):
        about = _about(distribution)
        name = _normal(about["Name"] or "")
        if not name or name in versions:
            continue
        versions[name] = about["Version"]
        needs[name] = [
            _normal(match[0])
            for text in about.get_all("Requires-Dist") or ()
            if "extra ==" not in text and (match := re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", text))
        ]
        for module in _modules(distribution):
            providers.setdefault(module, []).append(name)
    return {"providers": providers, "needs": needs, "versions": versions}


def _about(distribution: metadata.Distribution) -> Message:
    """The head of its metadata. `distribution.metadata` parses the long description as well, at each use."""
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    return HeaderParser().parsestr(text.partition("\n\n")[0])


def _modules(distribution: metadata.Distribution) -> set[str]:
    """What it lets a program import: its top modules; of a namespace that it shares, the parts too."""
    found = set()
    for first, second in set(_FIRST_TWO.findall(distribution.read_text("RECORD") or "")):
        if first.endswith((".dist-info", ".data")) or first in ("..", "__pycache__"):
            continue
        found.add(first.split(".")[0])
        if second:
            found.add(f"{first}.{second.split('.')[0]}")
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
