"""Section of the model registry."""

from __future__ import annotations

import re

from pydantic import field_validator

from linnet.config.places import Address
from linnet.config.section import Section

_MODEL = re.compile(r"\w(?:[\w .-]{0,198}[\w.-])?")
"""It stands in the names of files, in PromQL, in addresses and on pages."""


class RegistryConfig(Section):
    tracking_uri: Address = ""
    """MLflow tracking and registry URI; empty: SQLite in the local state folder."""
    model: str = ""
    """Registered model's name: letters and digits of any language, space, `.`, `_` and `-`, at most 200;
    empty: the config's name."""

    @field_validator("model")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if name and not _MODEL.fullmatch(name):
            raise ValueError(
                "a model's name is letters and digits, space, '.', '_' and '-', begins with a letter or "
                "digit, and has 200 characters at most"
            )
        return name

    @classmethod
    def of_registered(cls, model: str) -> RegistryConfig:
        """The section for a model that is registered already, whatever somebody else called it."""
        return cls.model_construct(model=model)

    def registered_name(self, name: str) -> str:
        """The registered model's name, for the use case `name`."""
        return self.model or name
