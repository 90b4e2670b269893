"""Gives a model's traffic on this machine's server to its champion, when an alias is moved by hand."""

from __future__ import annotations

from pathlib import Path

from linnet.artifacts.onnx_model import PackagedModel
from linnet.process.model_server import ServerState
from linnet.serving.client import ServerClient
from linnet.storage.paths import server_state_file


class ServerTraffic:
    """The `ChampionTraffic` of the server that `linnet up` started."""

    def give(self, model: str, version: str, package: Path) -> None:
        """Gives all of a model's traffic to `version`; a server of other models is left alone.

        Where no server serves the model, the package is loaded here: one that cannot be served never
        becomes champion.

        Raises:
            ServingError: the server does not answer, or the version cannot be loaded; it serves as before.
        """
        state = server_state_file()
        if ServerState.read(state) is not None:
            client = ServerClient.from_state(state, model=model)
            if model in client.models():
                client.load(version, package)
                client.set_routes(version)
                return
        PackagedModel.load(package, threads=1)
