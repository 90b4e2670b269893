"""The whole configuration, and how it is read from a TOML file."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import Field

from linnet.config.cluster import ClusterConfig
from linnet.config.cost import CostConfig
from linnet.config.data import DataConfig, FeaturesConfig, LabelsConfig, ValidationConfig
from linnet.config.engine import EngineConfig
from linnet.config.evaluation import EvaluationConfig, GatesConfig
from linnet.config.monitoring import MonitoringConfig
from linnet.config.registry import RegistryConfig
from linnet.config.retraining import RetrainingConfig
from linnet.config.section import Section
from linnet.config.service_levels import ServiceLevelsConfig
from linnet.config.serving import NOT_TOLD, OTHER, ReleaseConfig, ServingConfig
from linnet.config.training import TrainConfig
from linnet.config.tuning import TuneConfig
from linnet.errors import ConfigError

SECTIONS: dict[str, type[Section]] = {
    "data": DataConfig,
    "validation": ValidationConfig,
    "labels": LabelsConfig,
    "features": FeaturesConfig,
    "train": TrainConfig,
    "evaluation": EvaluationConfig,
    "gates": GatesConfig,
    "release": ReleaseConfig,
    "serving": ServingConfig,
    "registry": RegistryConfig,
    "cost": CostConfig,
    "monitoring": MonitoringConfig,
    "engine": EngineConfig,
    "cluster": ClusterConfig,
    "service_levels": ServiceLevelsConfig,
    "retraining": RetrainingConfig,
}


class Config(Section):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    """Name of the use case: lower-case letters, digits, `-` and `_`; also the model's name."""
    data: DataConfig = DataConfig()
    validation: ValidationConfig = ValidationConfig()
    labels: LabelsConfig = LabelsConfig()
    features: FeaturesConfig = FeaturesConfig()
    train: TrainConfig = TrainConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    gates: GatesConfig = GatesConfig()
    release: ReleaseConfig = ReleaseConfig()
    serving: ServingConfig = ServingConfig()
    registry: RegistryConfig = RegistryConfig()
    cost: CostConfig = CostConfig()
    monitoring: MonitoringConfig = MonitoringConfig()
    engine: EngineConfig = EngineConfig()
    cluster: ClusterConfig = ClusterConfig()
    service_levels: ServiceLevelsConfig = ServiceLevelsConfig()
    retraining: RetrainingConfig = RetrainingConfig()
    tune: TuneConfig = TuneConfig()
    """What `linnet tune` searches: no parameter of a pipeline."""

    @property
    def model_name(self) -> str:
        """The registered model's name: `registry.model`, or else the use case's."""
        return self.registry.registered_name(self.name)


def use_case_name(text: str) -> str:
    """A name as `Config.name` takes it, made of any text; `run` where nothing of it can stand there."""
    return re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_")[:63] or "run"


def load_config(path: Path, overrides: dict[str, Any] | None = None) -> Config:
    """Reads a TOML config; `overrides` maps `section.field` (or `section.table.field`) to a value that wins.

    Raises:
        ConfigError: the file is missing, is not TOML, or a setting is wrong.
    """
    raw = _read(path)
    for key, value in (overrides or {}).items():
        if "." not in key:
            raise ConfigError(key, "is not of the form section.field=value", "such as train.epochs=3")
        assign(raw, key, value)
    _refuse_moved(raw)
    return parse_config(raw, str(path))


def load_engine_config(path: Path) -> tuple[EngineConfig, bool]:
    """The section `engine` of a config, and whether the file holds nothing else: a machine's, of no use case.

    Raises:
        ConfigError: as `load_config`.
    """
    raw = _read(path)
    if set(raw) != {"engine"}:
        return load_config(path).engine, False
    _need_tables(raw)
    _refuse_moved(raw)
    return EngineConfig.parse(raw["engine"], "engine"), True


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(str(path), "no such file", "see `linnet init --help`") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), f"cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(str(path), f"is not TOML: {error}") from error


def _refuse_moved(raw: dict[str, Any]) -> None:
    for section, kind in SECTIONS.items():
        given = raw.get(section)
        for key in given if isinstance(given, dict) else ():
            if key in kind.moved:
                raise ConfigError(f"{section}.{key}", "is no setting any more", kind.moved[key])
            if key in kind.renamed:
                raise ConfigError(f"{section}.{key}", f"is called {kind.renamed[key]} now", "rename it")


def assign(values: dict[str, Any], key: str, value: Any) -> None:
    """Sets `section.field`, or `section.table.field`, of a config's plain values.

    Raises:
        ConfigError: a table is needed where a value stands.
    """
    *tables, field = key.split(".")
    for depth, name in enumerate(tables, start=1):
        values = values.setdefault(name, {})
        if not isinstance(values, dict):
            raise ConfigError(".".join(tables[:depth]), f"must be a table, not {values!r}")
    values[field] = value


def parse_config(raw: dict[str, Any], where: str = "config") -> Config:
    """Builds a config from plain values; errors name `section.field`."""
    _need_tables(raw)
    sections = _with_room_for_images({key: value for key, value in raw.items() if key in SECTIONS})
    config = Config.parse({**raw, **parse_sections(sections)}, where)
    _need_image_shape(sections.get("data"))
    _need_known_cohorts(config)
    older = ServingConfig.moved.keys() & sections.get("serving", {}).keys()  # what a run of before recorded
    if config.serving.max_body_mb < config.data.max_image_mb and not older:
        raise ConfigError(
            "serving.max_body_mb",
            f"{config.serving.max_body_mb:g} MB are less than data.max_image_mb "
            f"({config.data.max_image_mb:g}): the server would refuse images that training takes",
            "raise it, or lower data.max_image_mb",
        )
    return config


def _with_room_for_images(sections: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The sections with `serving.max_body_mb` raised to the largest image, where nobody has set it."""
    largest = sections.get("data", {}).get("max_image_mb")
    serving = sections.get("serving", {})
    usual = ServingConfig().max_body_mb
    if not isinstance(largest, int | float) or largest <= usual or "max_body_mb" in serving:
        return sections
    return {**sections, "serving": {**serving, "max_body_mb": float(largest)}}


def parse_sections(sections: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Checks sections and gives them as plain JSON values, defaults included."""
    return {key: SECTIONS[key].parse(value, key).values() for key, value in sections.items()}


def _need_tables(raw: dict[str, Any]) -> None:
    for key, value in raw.items():
        if key in SECTIONS and not isinstance(value, dict):
            raise ConfigError(key, f"must be a table, not {value!r}", f"write it as [{key}]")


def _need_known_cohorts(config: Config) -> None:
    """Refuses a critical cohort that nothing is ever measured of: its alert would be silent for ever.

    Classes are known only where the config names them; a folder's are found when it is read.
    """
    segments = {name: (*values, OTHER, NOT_TOLD) for name, values in config.serving.segments.items()}
    classes = config.data.classes
    for cohort in config.service_levels.critical_cohorts:
        column, _, value = cohort.partition("=")
        known = segments | {"class": classes or (value,)}
        if value in known.get(column, ()):
            continue
        where = (
            f"its values are {', '.join(known[column])}"
            if column in known
            else f"accuracy is measured by {', '.join(known)}"
        )
        raise ConfigError(
            "service_levels.critical_cohorts",
            f"'{cohort}' is measured by nothing: {where}",
            "name one of these, or declare it in serving.segments",
        )


def _need_image_shape(data: dict[str, Any] | None) -> None:
    """Refuses a config for a person's own images that leaves their size or color to a default.

    The defaults are those of small gray images; photos trained so lose what they show without a word.
    """
    if data is None or data.get("kind", "folder") == "idx":
        return
    for field in ("height", "width", "color"):
        if field not in data:
            raise ConfigError(
                f"data.{field}",
                "is not set, and nobody but you knows your images",
                'such as height = 64, width = 64, color = "rgb"; `linnet init` chooses them by all images',
            )
