"""Which config a model is judged by: a file that a person keeps here, or that of its newest training run."""

from __future__ import annotations

from dataclasses import dataclass

from linnet.config import Config, RegistryConfig, broken_config_files, config_files, use_case_name
from linnet.errors import ConfigError
from linnet.run import runs

DEFAULTS = "the defaults"


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """A config, and where it comes from: a file's path, `run ID`, or `the defaults`."""

    config: Config
    origin: str
    doubts: tuple[str, ...] = ()
    """What cannot be read, and may be the config that people mean: a file here, or that of a newer run."""

    @property
    def doubt(self) -> str:
        """The doubts in a sentence; empty if there is none."""
        if not self.doubts:
            return ""
        more = f" (and {len(self.doubts) - 1} more)" if self.doubts[1:] else ""
        return f"the config is that of {self.origin}, and another may be meant: {self.doubts[0]}{more}"


def model_config(model: str) -> ModelConfig:
    """The config of a model: the first file here whose model it is, since that is what people edit.

    Without one it is that of the model's newest training run, and without a run the defaults. What would
    come first and cannot be read is told.
    """
    for path, config in config_files().items():
        if config.model_name == model:
            return ModelConfig(config, path)
    doubts = broken_config_files(model=model)
    for folder, record in runs.readable(runs.recorded, told=doubts.append):
        if record.pipeline == "training" and record.model_name == model:
            try:
                return ModelConfig(Config.parse(record.config), f"run {folder.name}", tuple(doubts))
            except ConfigError as error:  # of another Linnet
                doubts.append(f"run {folder.name}: {error}")
    default = Config(name=use_case_name(model), registry=RegistryConfig.of_registered(model))
    return ModelConfig(default, DEFAULTS, tuple(doubts))
