"""Gives the traffic of this machine's server to the champion, after an alias was moved by hand."""

from __future__ import annotations

from linnet.process.model_server import ServerState
from linnet.registry.champion import ModelRegistry
from linnet.serving.client import ServerClient
from linnet.storage.paths import server_state_file


def route_to_champion(registry: ModelRegistry, model: str) -> None:
    """Routes a running server to the champion; without one there is nothing to do."""
    state = server_state_file()
    champion = registry.champion(model)
    if ServerState.read(state) is None or champion is None:
        return
    client = ServerClient.from_state(state)
    client.load(champion.version, registry.package_folder(champion))
    client.set_routes(champion.version)
