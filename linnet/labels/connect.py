"""Finds the label server that a config names, or the one of this machine."""

from __future__ import annotations

from linnet.config import LabelsConfig
from linnet.errors import LabelServerError
from linnet.labels import local_label_studio
from linnet.labels.label_studio import LabelStudio, read_token


def find_server(config: LabelsConfig) -> LabelStudio | None:
    """The server to talk to; None where none is configured and none runs here.

    Raises:
        ConfigError: a configured server has no token.
    """
    if config.server:
        return LabelStudio(config.server, read_token(config.token_file), config.images)
    local = local_label_studio.running()
    return local.client(config.images) if local else None


def connect(config: LabelsConfig) -> LabelStudio:
    """As `find_server`, for whoever needs one.

    Raises:
        LabelServerError: there is none.
    """
    server = find_server(config)
    if server is None:
        remedy = "`linnet labels up` starts one here; labels.server names one that exists"
        raise LabelServerError("of this machine", "does not run", remedy)
    return server
