"""Exports what is queued at the end of a run, where a label server is at hand; a run never waits for one."""

from __future__ import annotations

import logging
from typing import Any

from linnet.config import LabelsConfig
from linnet.errors import ConfigError, LabelServerError
from linnet.labels.connect import find_server
from linnet.labels.export import export
from linnet.labels.queue import question_of, queued

logger = logging.getLogger(__name__)


def offer(name: str, config: LabelsConfig) -> dict[str, Any]:
    """Tasks exported now; why there are none, if the server did not take them.

    The requests are queued already, so a server that is down costs nothing: the next
    `linnet labels export`, or `linnet labels serve`, exports them.
    """
    if not queued(name):
        return {}
    try:
        server = find_server(config)
        if server is None:
            return {}
        with server:
            done = export(name, server, config, question_of(name))
    except (LabelServerError, ConfigError) as error:
        logger.warning("the requests stay queued: %s", error)
        return {"not_exported": str(error)}
    waiting = {"without_image": done.waiting} if done.waiting else {}
    return {"exported": done.new, "project": done.project, **waiting}
