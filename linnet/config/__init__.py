"""The configuration: one frozen, typed, self-validating section a life-cycle step.

A TOML file holds the sections; each becomes one struct parameter of the compiled pipeline, so that
the same values reach a laptop and a cluster. A field's meaning and unit stand under it.
"""

from __future__ import annotations

from linnet.config.class_names import normal, problem_of
from linnet.config.cluster import ClusterConfig
from linnet.config.cost import CostConfig
from linnet.config.data import (
    DEFAULT_TASK,
    DataConfig,
    FeaturesConfig,
    LabelsConfig,
    Layout,
    Task,
    ValidationConfig,
)
from linnet.config.engine import ContainerSetting, EngineConfig
from linnet.config.evaluation import EvaluationConfig, GatesConfig
from linnet.config.files import broken_config_files, config_files
from linnet.config.monitoring import MonitoringConfig
from linnet.config.registry import RegistryConfig
from linnet.config.retraining import RetrainingConfig
from linnet.config.root import (
    SECTIONS,
    Config,
    assign,
    load_config,
    load_engine_config,
    parse_config,
    parse_sections,
    use_case_name,
)
from linnet.config.section import Fraction, Section
from linnet.config.service_levels import ServiceLevelsConfig
from linnet.config.serving import (
    JUDGED_METRICS,
    NOT_TOLD,
    OF_THE_SERVER,
    OTHER,
    JudgedMetric,
    KServeConfig,
    ReleaseConfig,
    ServingConfig,
)
from linnet.config.training import PHOTO_BACKBONE, SMALL_SIDE, TrainConfig
from linnet.config.tuning import Choice, Range, TuneConfig

__all__ = [
    "DEFAULT_TASK",
    "JUDGED_METRICS",
    "NOT_TOLD",
    "OF_THE_SERVER",
    "OTHER",
    "PHOTO_BACKBONE",
    "SECTIONS",
    "SMALL_SIDE",
    "Choice",
    "ClusterConfig",
    "Config",
    "ContainerSetting",
    "CostConfig",
    "DataConfig",
    "EngineConfig",
    "EvaluationConfig",
    "FeaturesConfig",
    "Fraction",
    "GatesConfig",
    "JudgedMetric",
    "KServeConfig",
    "LabelsConfig",
    "Layout",
    "MonitoringConfig",
    "Range",
    "RegistryConfig",
    "ReleaseConfig",
    "RetrainingConfig",
    "Section",
    "ServiceLevelsConfig",
    "ServingConfig",
    "Task",
    "TrainConfig",
    "TuneConfig",
    "ValidationConfig",
    "assign",
    "broken_config_files",
    "config_files",
    "load_config",
    "load_engine_config",
    "normal",
    "parse_config",
    "parse_sections",
    "problem_of",
    "use_case_name",
]
