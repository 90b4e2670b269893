"""What steps and commands ask of the registry, wired from the config."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linnet.cache.digest import tree_digest
from linnet.config import RegistryConfig, ServingConfig
from linnet.errors import LinnetError, NoChampion, RegistryError
from linnet.records import (
    EvaluationReport,
    GateDecision,
    ModelPackage,
    ModelVersion,
    RolloutDecision,
    RunRecord,
)
from linnet.registry.champion import ModelRegistry
from linnet.registry.mlflow_registry import MlflowRegistry
from linnet.registry.protocol import ChampionTraffic, Submission
from linnet.run.runs import commit_of, run_dir, runs_dir

logger = logging.getLogger(__name__)
_TRAINED, _COMPARED = "trained_digest", "compared_with"


@dataclass(frozen=True, slots=True)
class Champion:
    """The version that is served, and where its package lies (to be read only)."""

    name: str
    version: str
    package: Path
    run: str = ""
    """Id of the run that made it; empty: not known."""

    def serving(self) -> ServingConfig | None:
        """How its run's config says that it is served; None: that run is not here, or of another Linnet."""
        if not self.run:
            return None
        try:
            config = RunRecord.load(runs_dir() / self.run / "run.json").config
            return ServingConfig.parse(config.get("serving") or {})
        except LinnetError:
            return None


def connect(config: RegistryConfig, actor: str = "", traffic: ChampionTraffic | None = None) -> ModelRegistry:
    """The registry that the config names; nothing is opened before it is used.

    `traffic` follows the champion when it is moved.
    """
    return ModelRegistry(MlflowRegistry(config.tracking_uri), actor, traffic=traffic)


def register_challenger(
    config: RegistryConfig, name: str, package: Path, evaluation: Path, model: Path, settings: dict[str, Any]
) -> ModelVersion:
    """Registers a package with its evidence and points `challenger` to it; again is without effect.

    Raises:
        RegistryError: a gate of the evaluation or of the package failed, or the registry refuses.
    """
    registry, registered = connect(config), config.registered_name(name)
    described = ModelPackage.load(package / "package.json")
    failed = [
        reason
        for folder in (evaluation, package)
        for gates in [GateDecision.load(folder / "gates.json")]
        for reason in gates.reasons or ([] if gates.verdict == "pass" else [f"{gates.stage} gates failed"])
    ]
    if failed:
        raise RegistryError(f"a package whose gates failed is not registered: {'; '.join(failed)}")
    comparison = EvaluationReport.load(evaluation / "evaluation.json").comparison
    text = json.dumps(settings, sort_keys=True)
    run = run_dir()
    tags = {
        "run": run.name if run else "",
        "commit": commit_of(run),
        "dataset_digest": described.dataset_digest,
        "feature_service": described.feature_service,
        "config_digest": hashlib.blake2b(text.encode(), digest_size=16).hexdigest(),
        "gate_verdict": "pass",
        "model_digest": described.model_digest,
        # What the same model must be compared with again, if nothing else changed.
        _TRAINED: tree_digest(model),
        _COMPARED: comparison.champion if comparison else "",
    }
    version = registry.register(
        Submission(
            model=registered,
            package=package,
            evaluation=evaluation,
            training=model,
            config=settings,
            tags=tags,
        )
    )
    current = registry.champion(registered)
    if current is None or current.version != version.version:
        registry.set_challenger(registered, version.version)
    return registry.version(registered, version.version)


def champion_package(config: RegistryConfig, name: str) -> tuple[Path | None, str]:
    """Package folder and version of the champion; None and empty if there is none."""
    registry = connect(config)
    found = registry.champion(config.registered_name(name))
    return (None, "") if found is None else (registry.package_folder(found), found.version)


def version_package(config: RegistryConfig, name: str, version: str) -> Path:
    """Package folder of a version of use case `name`, to be read only.

    Raises:
        RegistryError: there is no such version.
    """
    registry, registered = connect(config), config.registered_name(name)
    return registry.package_folder(registry.version(registered, version))


def comparison_package(config: RegistryConfig, name: str, model: Path) -> tuple[Path | None, str]:
    """Package folder and version of what the trained model in folder `model` is to be compared with.

    That is the champion; but if this very model became the champion, it is what it was compared with
    then. So running again with nothing changed asks the same question, and finds the same answer in
    the cache, instead of holding a model against itself.
    """
    registry, registered = connect(config), config.registered_name(name)
    rival = registry.champion(registered)
    if rival is not None and rival.tags.get(_TRAINED) == tree_digest(model):
        before = rival.tags.get(_COMPARED, "")
        rival = registry.version(registered, before) if before else None
    return (None, "") if rival is None else (registry.package_folder(rival), rival.version)


def release_candidates(
    config: RegistryConfig, name: str, version: str, traffic: ChampionTraffic | None = None
) -> tuple[Path, str, Path | None, str | None]:
    """Package and version of the candidate, then of the champion (None twice if there is none).

    A promotion that was cut short is finished or forgotten first; `traffic` follows it.

    Raises:
        RegistryError: there is no such version.
    """
    registry, registered = connect(config, traffic=traffic), config.registered_name(name)
    registry.repair(registered)
    candidate = registry.package_folder(registry.version(registered, version))
    champion = registry.champion(registered)
    if champion is None:
        return candidate, version, None, None
    folder = candidate if champion.version == version else registry.package_folder(champion)
    return candidate, version, folder, champion.version


def rolled_back_before(config: RegistryConfig, name: str, version: str) -> str:
    """Why a version may not be released by itself, since it was rolled back; empty: it may.

    Raises:
        RegistryError: there is no such version, or the ledger was changed.
    """
    return connect(config).blocked(config.registered_name(name), version)


def promote_if_accepted(
    config: RegistryConfig,
    decision: RolloutDecision,
    traffic: ChampionTraffic | None = None,
    give: Callable[[], None] | None = None,
) -> bool:
    """Writes the canary's decisions into the ledger and moves `champion` if it says promote.

    `give` gives the candidate the traffic, as a part of the move: all of it happens, or nothing. Gives
    whether the candidate now is champion.

    Raises:
        PromotionConflict: the champion is no longer the one the canary compared with.
    """
    registry = connect(config, traffic=traffic)
    registry.record_canary(decision.model, decision)
    if decision.verdict != "promote":
        return False
    registry.promote(decision.model, decision.version, decision.champion, decision, give=give)
    return True


def find_champion(name: str | None = None, config: RegistryConfig | None = None) -> Champion:
    """The champion of model `name`; without a name, of the only model that has one.

    Raises:
        NoChampion: there is none.
        RegistryError: there are several to choose from.
    """
    registry = connect(config or RegistryConfig())
    found = _champions(registry, [name] if name else [])
    if len(found) > 1:
        raise several_models([version.name for version in found], "have a champion")
    return _with_package(registry, found[0])


def find_champions(names: Sequence[str] = (), config: RegistryConfig | None = None) -> list[Champion]:
    """The champions of the models that are named, or of all that have one; at least one.

    One that was not named, and whose package cannot be read, is told and left out.

    Raises:
        NoChampion: a model that is named has none, or no model has one.
        RegistryError, StorageError: the package of one that is named, or of all, cannot be read.
    """
    registry = connect(config or RegistryConfig())
    if names:
        return [_with_package(registry, version) for version in _champions(registry, names)]
    found, problems = [], []
    for name in (models := registry.store.models()):
        try:
            if (version := registry.champion(name)) is not None:
                found.append(_with_package(registry, version))
        except LinnetError as error:
            problems.append(error)
            logger.warning("%s is left out: %s", name, error)
    if not found:
        raise problems[0] if problems else NoChampion("", models)
    return found


def _champions(registry: ModelRegistry, names: Sequence[str]) -> list[ModelVersion]:
    """The champions of the models that are named, or of all that have one; at least one."""
    found = []
    for name in dict.fromkeys(names) or registry.store.models():
        version = registry.champion(name)
        if version is not None:
            found.append(version)
        elif names:
            raise NoChampion(name, registry.store.models())
    if not found:
        raise NoChampion("", registry.store.models())
    return found


def _with_package(registry: ModelRegistry, version: ModelVersion) -> Champion:
    return Champion(
        version.name, version.version, registry.package_folder(version), version.tags.get("run", "")
    )


def chosen_model(registry: ModelRegistry, name: str) -> str:
    """The model that a command means: the one it names, or the only one that is registered.

    Raises:
        RegistryError: there is no such model, or no telling which.
    """
    models = registry.store.models()
    if name and name not in models:
        raise RegistryError(f"there is no model {name!r} (known: {', '.join(models) or 'none yet'})")
    if name:
        return name
    if not models:
        raise RegistryError("no model is registered yet: `linnet run CONFIG` makes one")
    if len(models) > 1:
        raise several_models(models, "are registered")
    return models[0]


def several_models(names: Sequence[str], what: str) -> RegistryError:
    """The error where a command must name a model."""
    return RegistryError(
        f"several models {what} ({', '.join(names)}): name one with --name, such as --name {names[0]}"
    )
