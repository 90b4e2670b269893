"""A person moves the champion: alias, ledger and the traffic of the server here, together or not at all.

What could fail is tried first: the version is loaded, by the server that will answer with it or here, before
the alias moves. If the server then refuses the traffic, the alias goes back.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from linnet.errors import LinnetError, RegistryError
from linnet.process.model_server import ServerState
from linnet.records import ModelVersion
from linnet.registry.champion import ModelRegistry
from linnet.serving.client import ServerClient
from linnet.storage.paths import server_state_file


class Server(Protocol):
    """What is asked of the model server."""

    def load(self, version: str, package: Path) -> None:
        """See ServerClient."""

    def set_routes(self, champion: str | None) -> object:
        """See ServerClient."""


def promote_by_hand(registry: ModelRegistry, model: str, version: str, reason: str) -> ModelVersion:
    """Makes a version the champion without a canary, and gives it the traffic of a running server.

    Raises:
        PromotionConflict, RegistryError: it may not be.
        LinnetError: its package cannot be loaded, or the server does not take it; the champion is as it was.
    """
    found, champion = registry.version(model, version), registry.champion(model)
    server = _loaded(registry, found)
    before = champion.version if champion else None
    promoted = registry.promote(model, version, before, override=reason)
    _route(registry, server, promoted, before)
    return promoted


def roll_back_by_hand(registry: ModelRegistry, model: str, reason: str) -> ModelVersion:
    """Makes the champion before this one champion again, and gives it the traffic of a running server.

    Raises:
        RegistryError: there is none, or no reason is given.
        LinnetError: its package cannot be loaded, or the server does not take it; the champion is as it was.
    """
    champion = registry.champion(model)
    earlier = registry.earlier_champion(model)
    server = _loaded(registry, earlier)
    version = registry.rollback(model, reason)
    _route(registry, server, version, champion.version if champion else None)
    return version


def _loaded(registry: ModelRegistry, version: ModelVersion) -> Server | None:
    """The running server, with the version loaded; None where none runs, and the version loads here."""
    folder = registry.package_folder(version)
    state = server_state_file()
    if ServerState.read(state) is None:
        from linnet.artifacts.onnx_model import PackagedModel

        PackagedModel.load(folder, threads=1)
        return None
    server = ServerClient.from_state(state)
    server.load(version.version, folder)
    return server


def _route(registry: ModelRegistry, server: Server | None, version: ModelVersion, before: str | None) -> None:
    if server is None:
        return
    try:
        server.set_routes(version.version)
    except LinnetError as error:
        if before is None:
            raise RegistryError(
                f"{version.name} {version.version} is the champion, but the server does not answer with it "
                f"({error}): `linnet down`, and `linnet up` again"
            ) from error
        registry.promote(
            version.name, before, version.version, override=f"taken back, the server refused: {error}"
        )
        raise
