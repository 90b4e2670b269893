"""Every kind of bad candidate, planted in the real server: none becomes champion, and users see nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from linnet.deployment.pace import Pace
from linnet.deployment.replay import Replayer, Traffic
from tests.deployment.bad_candidates import BAD, plant
from tests.deployment.test_release import QUICK, SERVING, make_training_set
from tests.serving.packages import make_package
from tests.serving.running import RunningServer, running

# the margins that a person gets who sets nothing, except for what a laptop under test may blur
STRICT = QUICK.model_copy(
    update={
        "max_error_increase": 0.005, "max_accuracy_drop": 0.05, "max_latency_ratio": 1.15,
        "metrics": (*QUICK.metrics, "p99"), "latency_floor_ms": 10.0, "deadline_seconds": 120.0,
    }
)  # fmt: skip
KINDS = [
    pytest.param(kind, id=kind, marks=[] if bad.quick else [pytest.mark.proof]) for kind, bad in BAD.items()
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, RunningServer, Replayer]]:
    """A folder with a training set, a server with its champion, and its users."""
    folder = tmp_path_factory.mktemp("bad")
    make_package(folder / "champion")
    make_training_set(folder / "set")
    with (
        running(folder / "server", folder / "champion") as server,
        Replayer(
            server.state.url,
            "tiny",
            Traffic.of_training_set(folder / "set"),
            Pace(20.0),
            max_seconds=3600,
            seed=9,
        ) as people,
    ):
        yield folder, server, people


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_bad_candidate_never_becomes_champion_and_the_champion_answers_throughout(
    kind: str, place: tuple[Path, RunningServer, Replayer], tmp_path: Path
) -> None:
    from linnet.deployment.release import release

    folder, server, people = place
    answered = people.answered["1"]
    candidate = plant(kind, tmp_path / "candidate")
    decision = release(
        candidate, "2", folder / "champion", "1", folder / "set", STRICT, SERVING, "tiny",
        tmp_path / "out", server_state=server.state_file,
    )  # fmt: skip
    print(f"\n{kind}: {decision.verdict}, {decision.reason:.300}")
    assert decision.verdict == "rollback", decision.reason
    if BAD[kind].refused:
        assert "cannot be loaded" in decision.reason and not decision.steps
    routes = server.client.routes()
    assert (routes["champion"], routes["candidate"], list(routes["versions"])) == ("1", None, ["1"])
    until = time.monotonic() + 90
    while people.answered["1"] <= answered and time.monotonic() < until:
        time.sleep(0.05)
    assert people.answered["1"] > answered
    assert people.failed["1"] == 0


def test_bad_candidates_are_of_thirty_kinds_a_third_of_them_in_the_short_form() -> None:
    assert len(BAD) >= 30
    assert sum(bad.quick for bad in BAD.values()) >= 9
