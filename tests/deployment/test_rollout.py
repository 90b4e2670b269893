from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from linnet.config import ReleaseConfig
from linnet.deployment.evidence import Outcome
from linnet.deployment.judge import Reference
from linnet.deployment.rollout import Candidate, Rollout
from linnet.deployment.simulated import Behaviour, SimulatedTarget
from linnet.errors import RolloutError
from linnet.records import ServedRecord

FAST = ReleaseConfig(
    bake_seconds=0.0, look_seconds=0.001, deadline_seconds=3.0, max_error_increase=0.02, max_accuracy_drop=0.1
)


def rollout(
    target: SimulatedTarget,
    folder: Path,
    config: ReleaseConfig = FAST,
    outcomes: Callable[[], list[Outcome]] | None = None,
    reference: Reference | None = None,
) -> Rollout:
    candidate = Candidate("shop", "2", folder / "package")
    return Rollout(target, candidate, config, outcomes or target.outcomes, folder / "shop.json", reference)


def pair(**behaviour: object) -> SimulatedTarget:
    return SimulatedTarget("1", {"1": Behaviour(), "2": Behaviour(**behaviour)})  # type: ignore[arg-type]


def test_rollout_of_a_good_candidate_walks_all_steps_and_promotes(tmp_path: Path) -> None:
    target = pair()
    decision = rollout(target, tmp_path).run()
    assert decision.verdict == "promote", decision.reason
    assert [step.percent for step in decision.steps] == [1, 5, 25, 50, 100]
    assert [table[2] for table in target.history] == [0, 0, 1, 5, 25, 50, 100, 0]
    assert target.table == ("2", None, 0, 0.0)
    assert all(judged.verdict == "good" for judged in decision.steps[-2].judgements)
    assert json.loads((tmp_path / "shop.json").read_text())["phase"] == "promote"


@pytest.mark.parametrize(
    ("behaviour", "metric"),
    [
        ({"error_rate": 0.1}, "errors"),
        ({"slowness": 10.0}, "latency"),
        ({"agreement": 0.02, "accuracy": 0.02}, "agreement"),
    ],
)
def test_rollout_of_a_bad_candidate_gives_all_traffic_back(
    tmp_path: Path, behaviour: dict[str, float], metric: str
) -> None:
    target = pair(**behaviour)
    decision = rollout(target, tmp_path).run()
    assert decision.verdict == "rollback"
    assert metric in decision.reason
    assert target.table == ("1", None, 0, 0.0)
    assert target.loaded == {"1"}


def test_rollout_of_a_candidate_that_does_not_load_never_gets_traffic(tmp_path: Path) -> None:
    target = pair(loads=False)
    decision = rollout(target, tmp_path).run()
    assert (decision.verdict, decision.steps) == ("rollback", ())
    assert "cannot be loaded" in decision.reason
    assert {table[1] for table in target.history} == {None}


def test_rollout_that_stays_unproven_is_inconclusive_and_gives_back(tmp_path: Path) -> None:
    target = pair()
    config = FAST.model_copy(update={"deadline_seconds": 0.3})
    decision = rollout(target, tmp_path, config, outcomes=list).run()  # nobody knows the labels
    assert decision.verdict == "inconclusive"
    assert "not proven: accuracy" in decision.reason
    assert target.table == ("1", None, 0, 0.0)


@pytest.mark.parametrize("after", [200, 700])
def test_rollout_whose_server_falls_silent_never_promotes(tmp_path: Path, after: int) -> None:
    target = pair(silent_after=after)
    config = FAST.model_copy(update={"deadline_seconds": 0.3})
    decision = rollout(target, tmp_path, config).run()
    assert decision.verdict in ("inconclusive", "rollback")
    assert "could not be given back" in decision.reason
    assert target.champion() == "1"


def test_rollout_whose_server_falls_silent_after_the_proof_does_not_promote(tmp_path: Path) -> None:
    class Fading(SimulatedTarget):
        heard = 0

        def records(self, after: int) -> tuple[int, list[ServedRecord]]:
            self.heard += self.table[2] == 100
            if self.heard > 1:
                raise RolloutError("silence")
            return super().records(after)

    target = Fading("1", {"1": Behaviour(), "2": Behaviour()})
    config = FAST.model_copy(update={"bake_seconds": 0.1, "deadline_seconds": 0.5})
    decision = rollout(target, tmp_path, config).run()
    assert [step.verdict for step in decision.steps][-2:] == ["proceed", "inconclusive"]
    assert "could not be read" in decision.reason
    assert target.table == ("1", None, 0, 0.0)


def test_rollout_whose_promotion_is_refused_is_no_promotion(tmp_path: Path) -> None:
    class Stubborn(SimulatedTarget):
        def promote(self, version: str) -> None:
            raise RolloutError("not today")

    target = Stubborn("1", {"1": Behaviour(), "2": Behaviour()})
    decision = rollout(target, tmp_path).run()
    assert decision.verdict == "inconclusive"
    assert "could not be promoted: not today" in decision.reason
    assert target.table == ("1", None, 0, 0.0)


def test_rollout_of_a_first_candidate_needs_only_one_step(tmp_path: Path) -> None:
    target = SimulatedTarget(None, {"2": Behaviour()})
    decision = rollout(target, tmp_path, reference=Reference(4.0, 0.93)).run()
    assert decision.verdict == "promote", decision.reason
    assert [step.percent for step in decision.steps] == [100]
    assert target.champion() == "2"


def test_rollout_of_a_bad_first_candidate_is_rolled_back(tmp_path: Path) -> None:
    target = SimulatedTarget(None, {"2": Behaviour(accuracy=0.1)})
    decision = rollout(target, tmp_path, reference=Reference(4.0, 0.93)).run()
    assert decision.verdict == "rollback"
    assert target.champion() is None


def test_rollout_without_champion_and_limits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RolloutError, match="no champion"):
        rollout(SimulatedTarget(None, {"2": Behaviour()}), tmp_path).run()


def test_rollout_of_the_champion_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RolloutError, match="already is the champion"):
        rollout(SimulatedTarget("2", {"2": Behaviour()}), tmp_path).run()


def interrupted(target: SimulatedTarget, folder: Path, at: int) -> None:
    def outcomes() -> list[Outcome]:
        if target.table[2] == at:
            raise KeyboardInterrupt
        return target.outcomes()

    with pytest.raises(KeyboardInterrupt):
        rollout(target, folder, outcomes=outcomes).run()


def test_rollout_interrupted_gives_traffic_back_before_it_ends(tmp_path: Path) -> None:
    target = pair()
    interrupted(target, tmp_path, at=25)
    assert target.table == ("1", None, 0, 0.0)
    assert target.loaded == {"1"}
    assert json.loads((tmp_path / "shop.json").read_text())["phase"] == "interrupted"


def test_rollout_after_an_interruption_begins_anew_and_says_so(tmp_path: Path) -> None:
    target = pair()
    interrupted(target, tmp_path, at=5)
    decision = rollout(target, tmp_path).run()
    assert decision.verdict == "promote"
    assert decision.reason.startswith("begun anew after an interruption")
    assert rollout_state(tmp_path) == "promote"


def test_rollout_after_a_kill_first_takes_traffic_from_the_left_over_candidate(tmp_path: Path) -> None:
    target = SimulatedTarget("1", {"1": Behaviour(), "2": Behaviour(), "old": Behaviour(error_rate=1.0)})
    target.load("old", tmp_path)
    target.route("old", 50, 0.5)
    state = {"phase": "running", "model": "shop", "candidate": "old", "champion": "1", "percent": 50}
    (tmp_path / "shop.json").write_text(json.dumps(state))
    decision = rollout(target, tmp_path).run()
    assert target.history[2] == ("1", None, 0, 0.0)
    assert "at 50 % with version old" in decision.reason
    assert "old" not in target.loaded
    assert decision.verdict == "promote"


def rollout_state(folder: Path) -> str:
    phase: str = json.loads((folder / "shop.json").read_text())["phase"]
    return phase


def test_rollout_beside_another_one_is_refused(tmp_path: Path) -> None:
    first, entered, leave = pair(), threading.Event(), threading.Event()

    def outcomes() -> list[Outcome]:
        entered.set()
        assert leave.wait(10)
        return first.outcomes()

    other = threading.Thread(target=rollout(first, tmp_path, outcomes=outcomes).run)
    other.start()
    assert entered.wait(10)
    try:
        with pytest.raises(RolloutError, match="another rollout is under way"):
            rollout(pair(), tmp_path).run()
    finally:
        leave.set()
        other.join(20)


def test_rollout_state_that_is_damaged_does_not_stand_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "shop.json").write_text("{half")
    assert rollout(pair(), tmp_path).run().verdict == "promote"
