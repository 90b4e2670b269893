"""Which config a model is judged by: a file that a person keeps here, or that of its newest training run."""

from __future__ import annotations

from dataclasses import dataclass

from linnet.config import Config, RegistryConfig, config_files, use_case_name
from linnet.errors import ConfigError
from linnet.run import runs

DEFAULTS = "the defaults"


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """A config, and where it comes from: a file's path, `run ID`, or `the defaults`."""

    config: Config
    origin: str


def model_config(model: str) -> ModelConfig:
    """The config of a model: the first file here whose model it is, since that is what people edit.

    Without one it is that of the model's newest training run, and without a run the defaults.
    """
    for path, config in config_files().items():
        if config.model_name == model:
            return ModelConfig(config, path)
    for folder, record in runs.readable(runs.recorded):
        if record.pipeline == "training" and record.model_name == model:
            try:
                return ModelConfig(Config.parse(record.config), f"run {folder.name}")
            except ConfigError:
                continue  # of another Linnet
    default = Config(name=use_case_name(model), registry=RegistryConfig.of_registered(model))
    return ModelConfig(default, DEFAULTS)
