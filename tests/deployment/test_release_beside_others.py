"""A release of one model while this machine's server serves another: that one is never touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnet.deployment.local_server import EmbeddedServer, give_back
from linnet.deployment.release import release
from linnet.errors import RolloutError, ServingError
from linnet.process.model_server import ServerState
from linnet.serving.champion_traffic import ServerTraffic
from tests.deployment.test_release import QUICK, SERVING, make_training_set
from tests.serving.packages import make_package
from tests.serving.running import png, running

ONE_STEP = QUICK.model_copy(update={"steps": (100,), "metrics": ("errors", "validity", "accuracy")})


@pytest.mark.slow
def test_release_of_another_model_leaves_the_server_alone(tmp_path: Path, state: Path) -> None:
    """Issue 14: a run of faces sent its canary to the textures server, and its promotion, too."""
    make_package(tmp_path / "textures", name="textures", classes=("wood", "stone"))
    make_package(tmp_path / "faces", name="faces")
    make_training_set(tmp_path / "set")
    with running(tmp_path / "server", tmp_path / "textures", "1") as server:
        before = server.client.routes()
        decision = release(
            tmp_path / "faces", "2", tmp_path / "faces", "1", tmp_path / "set", ONE_STEP, SERVING, "faces",
            tmp_path / "out", server_state=server.state_file,
        )  # fmt: skip
        first = release(
            tmp_path / "faces", "1", None, None, tmp_path / "set", ONE_STEP, SERVING, "hands",
            tmp_path / "out", server_state=server.state_file,
        )  # fmt: skip
        assert decision.verdict == "promote" and first.verdict == "promote", (decision.reason, first.reason)
        after = server.client.routes()
        assert {**after, "versions": set(after["versions"])} == {**before, "versions": {"1"}}
        answer = server.client.predict(png(8))
        assert (answer["model"], answer["version"], answer["predictions"][0]["class"]) == (
            "textures", "1", "wood",
        )  # fmt: skip
        assert server.client.records().records[-1].version == "1"


def test_target_of_a_model_that_is_not_served_is_none(tmp_path: Path, state: Path) -> None:
    make_package(tmp_path / "textures", name="textures")
    make_package(tmp_path / "faces", name="faces")
    with running(tmp_path / "server", tmp_path / "textures", "1") as server:
        assert EmbeddedServer.find(server.state_file, "faces", "2") is None
        assert not give_back(server.state_file, "faces", "1")
        target = EmbeddedServer(server.state.url, server.state.token, "faces", "2")
        for act in (
            lambda: target.promote("1"),
            lambda: target.route("2", 5, 0.0),
            lambda: target.load("2", tmp_path / "faces"),
            lambda: target.records(0),
        ):
            with pytest.raises(RolloutError, match=r"faces.* is not served here"):
                act()
        target.close()
        (state / "serving").mkdir(parents=True)
        (state / "serving" / "server.json").write_bytes(server.state_file.read_bytes())
        ServerTraffic().give("faces", "1", tmp_path / "faces")
        assert server.client.routes()["champion"] == "1" and len(server.client.routes()["versions"]) == 1
        assert server.client.predict(png(8))["model"] == "textures"


def test_server_of_an_older_linnet_is_told_apart(tmp_path: Path) -> None:
    import json
    import os

    file = tmp_path / "server.json"
    ServerState.of(os.getpid(), "http://127.0.0.1:1", "secret", ["tiny"]).write(file)
    values = json.loads(file.read_text())
    del values["models"]  # as the version before wrote it
    file.write_text(json.dumps(values))
    with pytest.raises(ServingError, match=r"older version of Linnet.*linnet down.*linnet up"):
        EmbeddedServer.find(file, "tiny", "2")
