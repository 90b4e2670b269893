"""The models that this state folder's runs were about, with the sections that the runs were given."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from linnet.config import RegistryConfig, RetrainingConfig
from linnet.errors import LinnetError
from linnet.records import RunRecord
from linnet.run import runs
from linnet.storage.files import is_there

logger = logging.getLogger(__name__)

_MOST_RUNS = 500
"""Of one use case, so that a busy one hides no other."""
_SECTIONS = ("registry", "retraining")


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model, where it is registered, and how its retraining is decided."""

    model: str
    registry: RegistryConfig
    retraining: RetrainingConfig


def known_models() -> list[KnownModel]:
    """Every model of the use cases' newest runs, by name: its newest run that carries a section counts.

    A run that cannot be read is told and passed over; so is a model whose sections are of another Linnet.
    """
    found: dict[str, dict[str, Any]] = {}
    for model, given in _newest_sections():
        sections = found.setdefault(model, {})
        for name, section in given.items():
            sections.setdefault(name, section)
    known = []
    for model, sections in sorted(found.items()):
        try:
            registry = RegistryConfig.parse(sections.get("registry") or {})
            retraining = RetrainingConfig.parse(sections.get("retraining") or {})
        except LinnetError as error:
            _tell(f"retraining of {model} is not decided: the config of its newest run is not valid: {error}")
            continue
        known.append(KnownModel(model, registry, retraining))
    return [one for one in known if one.model]


@lru_cache(1000)
def _tell(problem: str) -> None:
    """Once a process: the engine asks every few seconds."""
    logger.warning(problem)


def _newest_sections() -> Iterator[tuple[str, dict[str, Any]]]:
    """Model and sections of the newest runs of each use case, the newest first."""
    seen: Counter[str] = Counter()
    for folder in runs.folders():
        name = folder.name.rsplit("-", 3)[0]
        seen[name] += 1
        if seen[name] > _MOST_RUNS:
            continue
        try:
            yield _sections(folder / "run.json")
        except LinnetError as error:
            if is_there(folder / "run.json"):  # else it is being deleted
                _tell(f"retraining goes by older settings where run {folder.name} is the newest: {error}")
            continue


@lru_cache(20 * _MOST_RUNS)
def _sections(path: Path) -> tuple[str, dict[str, Any]]:
    """A run's model and the sections that are asked for here, which never change: the rest is not kept."""
    record = RunRecord.load(path)
    return record.model_name, {name: record.config[name] for name in _SECTIONS if name in record.config}
