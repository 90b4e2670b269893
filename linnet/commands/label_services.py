"""The label services of use cases: one each, as soon as people are asked and a label server is at hand."""

from __future__ import annotations

from pathlib import Path

from linnet.config import load_config


def start_label_service(path: Path) -> str | None:
    """Starts the service of the config at `path`; where its metrics are.

    None: it runs already, nobody was asked yet, or there is no label server.

    Raises:
        LinnetError: it does not start, or the config or its label server cannot be used.
    """
    from linnet.automation.label_service import PORT, service_of
    from linnet.labels.connect import find_server
    from linnet.labels.queue import queued
    from linnet.process.sidecar import free_port

    loaded = load_config(path)
    service = service_of(loaded.name)
    if service.running() or not queued(loaded.name):
        return None
    server = find_server(loaded.labels)
    if server is None:
        return None
    server.close()
    return service.start(str(path), "--port", str(free_port("127.0.0.1", PORT))).url
