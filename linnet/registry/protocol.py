"""What Linnet needs of a model registry: versions with evidence, and aliases. Adapters fulfil it.

Who may move an alias, under which lock, and what the ledger says of it is `champion.ModelRegistry`'s.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from linnet.records import ModelVersion

Alias = Literal["champion", "challenger"]


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What is registered: the package and where it comes from."""

    model: str
    package: Path
    evaluation: Path
    """Folder with evaluation.json, gates.json and, if there is one, report.html."""
    training: Path
    """training.json, or the folder that holds it."""
    config: dict[str, Any]
    """Nested settings; become the run's params, flattened with dots."""
    tags: dict[str, str] = field(default_factory=dict)
    """On the version: commit, dataset_digest, feature_service, config_digest, gate_verdict."""


class Registry(Protocol):
    """One registry of many models. Every call may raise RegistryError."""

    def register(self, submission: Submission) -> ModelVersion:
        """The version with this package digest (a tag of the submission): the one there is, or a new one."""
        ...

    def models(self) -> list[str]:
        """Names of the registered models, sorted."""
        ...

    def versions(self, model: str) -> list[ModelVersion]:
        """All versions of a model, the newest first; none if it is not registered."""
        ...

    def alias(self, model: str, alias: Alias) -> str | None:
        """The version an alias points to."""
        ...

    def set_alias(self, model: str, alias: Alias, version: str | None) -> None:
        """Points an alias to a version; None removes it."""
        ...

    def package_folder(self, model: str, version: str) -> Path:
        """A local, read-only folder with the version's package; not copied if it is local already."""
        ...


class ChampionTraffic(Protocol):
    """What serves a model's champion to people, if anything does."""

    def give(self, model: str, version: str, package: Path) -> None:
        """Gives a model's traffic to a version; where nothing serves the model, sees that it can be loaded.

        Raises:
            ServingError: the version cannot be served; traffic is where it was.
        """
        ...


DESCRIPTOR = "MLmodel"
"""MLflow's description of the signature; it is laid beside a registered package."""
_NOT_OURS = frozenset({DESCRIPTOR, "registered_model_meta"})
"""Files of MLflow's own beside a package (the second is written when MLflow loads it): no part of it."""


def package_digest(folder: Path) -> str:
    """40 hex digits of blake2b over names and bytes of the package's files: its identity."""
    digest = hashlib.blake2b(digest_size=20)
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in _NOT_OURS):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def flattened(config: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as `section.field` to text."""
    flat: dict[str, str] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat |= flattened(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = str(value)
    return flat
