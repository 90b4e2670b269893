"""Section of the model registry."""

from __future__ import annotations

from linnet.config.places import Address
from linnet.config.section import Section


class RegistryConfig(Section):
    tracking_uri: Address = ""
    """MLflow tracking and registry URI; empty: SQLite in the local state folder."""
    model: str = ""
    """Registered model's name; empty: the config's name."""

    def registered_name(self, name: str) -> str:
        """The registered model's name, for the use case `name`."""
        return self.model or name
