from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from linnet.config import ReleaseConfig
from linnet.deployment.evidence import LabeledOutcome
from linnet.deployment.first_release import FirstReleaseBaseline
from linnet.deployment.journal import Journal
from linnet.deployment.rollout import Candidate, Rollout
from linnet.errors import RolloutError
from linnet.records import ServedRecord
from tests.doubles.rollout_target import Behavior, SimulatedTarget

FAST = ReleaseConfig(
    min_step_seconds=0.0, check_interval_seconds=0.001, deadline_seconds=30.0, max_error_increase=0.02,
    max_accuracy_drop=0.1, max_latency_ratio=2.0,
)  # fmt: skip


def rollout(
    target: SimulatedTarget,
    folder: Path,
    config: ReleaseConfig = FAST,
    outcomes: Callable[[], list[LabeledOutcome]] | None = None,
    reference: FirstReleaseBaseline | None = None,
) -> Rollout:
    candidate = Candidate("shop", "2", folder / "package")
    return Rollout(target, candidate, config, outcomes or target.outcomes, folder / "shop.json", reference)


def pair(**behavior: object) -> SimulatedTarget:
    return SimulatedTarget("1", {"1": Behavior(), "2": Behavior(**behavior)})  # type: ignore[arg-type]


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
    ("behavior", "metric"),
    [
        ({"error_rate": 0.1}, "errors"),
        ({"slowness": 10.0}, "latency"),
        ({"agreement": 0.02, "accuracy": 0.02}, "agreement"),
    ],
)
def test_rollout_of_a_bad_candidate_gives_all_traffic_back(
    tmp_path: Path, behavior: dict[str, float], metric: str
) -> None:
    target = pair(**behavior)
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
    config = FAST.model_copy(update={"deadline_seconds": 3.0})
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


def test_rollout_whose_server_falls_silent_after_the_proof_does_not_promote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("linnet.deployment.rollout.SILENCE_SECONDS", 0.5)

    class Fading(SimulatedTarget):
        heard = 0

        def records(self, after: int) -> tuple[int, list[ServedRecord]]:
            self.heard += self.table[2] == 100
            if self.heard > 1:
                raise RolloutError("silence")
            return super().records(after)

    target = Fading("1", {"1": Behavior(), "2": Behavior()})
    config = FAST.model_copy(update={"min_step_seconds": 0.1})
    decision = rollout(target, tmp_path, config).run()
    assert [step.verdict for step in decision.steps][-2:] == ["proceed", "inconclusive"]
    assert "could not be read" in decision.reason
    assert target.table == ("1", None, 0, 0.0)


def test_requests_that_were_lost_to_the_judge_are_told_once(tmp_path: Path) -> None:
    class Forgetful(SimulatedTarget):
        def records(self, after: int) -> tuple[int, list[ServedRecord]]:
            cursor, found = super().records(after)
            self.lost = 1200 if self.table[2] else 0
            return cursor, found

    decision = rollout(Forgetful("1", {"1": Behavior(), "2": Behavior()}), tmp_path).run()
    [told] = [mark.what for mark in decision.marks if "not judged" in mark.what]
    assert told.startswith("1,200 answered requests were not judged")


def test_rollout_whose_promotion_is_refused_is_no_promotion(tmp_path: Path) -> None:
    class Stubborn(SimulatedTarget):
        def promote(self, version: str) -> None:
            raise RolloutError("not today")

    target = Stubborn("1", {"1": Behavior(), "2": Behavior()})
    decision = rollout(target, tmp_path).run()
    assert decision.verdict == "inconclusive"
    assert "could not be promoted: not today" in decision.reason
    assert target.table == ("1", None, 0, 0.0)


def test_rollout_of_a_first_candidate_needs_only_one_step(tmp_path: Path) -> None:
    target = SimulatedTarget(None, {"2": Behavior()})
    decision = rollout(target, tmp_path, reference=FirstReleaseBaseline(4.0, 0.93, 1000)).run()
    assert decision.verdict == "promote", decision.reason
    assert [step.percent for step in decision.steps] == [100]
    assert target.champion() == "2"


def test_rollout_of_a_bad_first_candidate_is_rolled_back(tmp_path: Path) -> None:
    target = SimulatedTarget(None, {"2": Behavior(accuracy=0.1)})
    decision = rollout(target, tmp_path, reference=FirstReleaseBaseline(4.0, 0.93, 1000)).run()
    assert decision.verdict == "rollback"
    assert target.champion() is None


def test_rollout_without_champion_and_limits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RolloutError, match="no champion"):
        rollout(SimulatedTarget(None, {"2": Behavior()}), tmp_path).run()


def test_rollout_of_the_champion_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RolloutError, match="already is the champion"):
        rollout(SimulatedTarget("2", {"2": Behavior()}), tmp_path).run()


def interrupted(target: SimulatedTarget, folder: Path, at: int) -> None:
    def outcomes() -> list[LabeledOutcome]:
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
    assert decision.reason.startswith("restarted after an interruption")
    assert rollout_state(tmp_path) == "promote"


def test_rollout_after_a_kill_first_takes_traffic_from_the_left_over_candidate(tmp_path: Path) -> None:
    target = SimulatedTarget("1", {"1": Behavior(), "2": Behavior(), "old": Behavior(error_rate=1.0)})
    target.load("old", tmp_path)
    target.route("old", 50, 0.5)
    state = {"phase": "running", "model": "shop", "candidate": "old", "champion": "1", "percent": 50}
    (tmp_path / "shop.json").write_text(json.dumps(state))
    decision = rollout(target, tmp_path).run()
    assert target.history[2] == ("1", None, 0, 0.0)
    assert "at 50 % with version old" in decision.reason
    assert "old" not in target.loaded
    assert decision.verdict == "promote"


class Killed(BaseException):
    """Stands for `kill -9`: whatever runs on it must not be able to clean up."""


class Deadly(SimulatedTarget):
    """Counts calls that change or read something, and is killed with its controller before one of them."""

    calls, kill_at = 0, -1

    def _check(self) -> None:
        self.calls += 1
        if self.calls == self.kill_at:
            raise Killed
        if 0 < self.kill_at < self.calls:
            raise RolloutError("a dead process asks nothing")
        super()._check()


def killed(target: Deadly, folder: Path, at: int) -> bool:
    """Runs a rollout that is killed at its call number `at`; False if it ended before.

    Nothing that follows the kill in the dying process reaches the disk or the target.
    """
    target.calls, target.kill_at = 0, at
    dying = rollout(target, folder)
    write = Journal.write

    def dead(journal: Journal, state: dict[str, object]) -> None:
        if target.calls < at:
            write(journal, state)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "write", dead)
        try:
            dying.run()
        except (Killed, RolloutError):
            return True
        finally:
            target.calls, target.kill_at = 0, -1
    return False


def test_rollout_killed_at_any_call_goes_on_to_the_same_end(tmp_path: Path) -> None:
    ends = []
    for at in (1, 2, 3, 4, 5, 6, 7, 9, 12, 14, 20, 30, 40, 50):
        folder = tmp_path / str(at)
        target = Deadly("1", {"1": Behavior(), "2": Behavior()}, per_look=500)
        if not killed(target, folder, at):
            break
        before = json.loads((folder / "shop.json").read_text()) if (folder / "shop.json").exists() else {}
        decision = rollout(target, folder).run()
        assert decision.verdict == "promote", (at, decision.reason)
        assert target.table == ("2", None, 0, 0.0)
        assert [step.percent for step in decision.steps] == [1, 5, 25, 50, 100]
        if before.get("steps"):
            assert decision.reason.startswith("taken up after a kill")
            assert [step.seconds for step in decision.steps][: len(before["steps"])] == [
                step["seconds"] for step in before["steps"]
            ], "steps that were decided are not done again"
        ends.append(at)
    assert len(ends) >= 8


def test_rollout_killed_while_it_gives_traffic_back_gives_it_back(tmp_path: Path) -> None:
    for at in range(4, 40):
        target = Deadly("1", {"1": Behavior(), "2": Behavior(error_rate=0.3)}, per_look=500)
        folder = tmp_path / str(at)
        if not killed(target, folder, at):
            return
        phase = json.loads((folder / "shop.json").read_text())["phase"]
        decision = rollout(target, folder).run()
        assert (decision.verdict, target.table) == ("rollback", ("1", None, 0, 0.0)), (at, phase)
        assert "errors" in decision.reason
    raise AssertionError("the rollout never came to its end")


def test_rollout_killed_just_after_the_promotion_says_promote(tmp_path: Path) -> None:
    target = pair()
    rollout(target, tmp_path).run()
    journal = Journal(tmp_path / "shop.json")
    journal.write({**journal.read(), "phase": "promoting"})
    decision = rollout(target, tmp_path).run()
    assert (decision.verdict, decision.champion) == ("promote", "1")
    assert target.table == ("2", None, 0, 0.0)


def test_rollout_killed_and_run_with_other_settings_begins_anew(tmp_path: Path) -> None:
    target = Deadly("1", {"1": Behavior(), "2": Behavior()}, per_look=500)
    assert killed(target, tmp_path, 9)
    other = FAST.model_copy(update={"alpha": 0.04})
    decision = rollout(target, tmp_path, other).run()
    assert decision.reason.startswith("restarted after an interruption")
    assert decision.verdict == "promote"


Order = tuple[int, str]


def ordered(target: SimulatedTarget, folder: Path, orders: list[Order], config: ReleaseConfig) -> Rollout:
    """A rollout to which (look number, command) orders are given while it runs."""
    looks = 0
    journal = Journal(folder / "shop.json")

    def outcomes() -> list[LabeledOutcome]:
        nonlocal looks
        looks += 1
        for at, command in orders:
            if at == looks:
                journal.give(command, "ann@desk", "as agreed")  # type: ignore[arg-type]
        return target.outcomes()

    return rollout(target, folder, config, outcomes)


def test_rollout_with_an_approval_gate_waits_for_a_person_before_full_traffic(tmp_path: Path) -> None:
    config = FAST.model_copy(update={"approval": "promotion", "approval_seconds": 1.0})
    decision = rollout(pair(), tmp_path / "alone", config).run()
    assert decision.verdict == "inconclusive"
    assert "nobody approved" in decision.reason
    assert [step.percent for step in decision.steps] == [1, 5, 25, 50]

    config = FAST.model_copy(update={"approval": "promotion"})
    decision = ordered(pair(), tmp_path, [(n, "approve") for n in range(2, 2000, 10)], config).run()
    assert decision.verdict == "promote"
    words = [mark.what for mark in decision.marks]
    assert words.index("waits for approval") < len(words) - 1
    assert "approve" in words[words.index("waits for approval") :]
    given = next(mark for mark in decision.marks if mark.what == "approve")
    assert (given.by, given.reason) == ("ann@desk", "as agreed")


def test_rollout_that_is_paused_does_not_go_on_but_still_rolls_back(tmp_path: Path) -> None:
    target = pair()
    decision = ordered(target, tmp_path, [(3, "pause"), (60, "resume")], FAST).run()
    assert decision.verdict == "promote"
    words = [mark.what for mark in decision.marks]
    assert words.index("pause") < words.index("resume")
    # nothing moved between the two: one step began before the pause at most, the others after it
    between = words[words.index("pause") + 1 : words.index("resume")]
    assert not [word for word in between if word.endswith("%")]

    bad = pair(error_rate=0.2)
    decision = ordered(bad, tmp_path / "bad", [(2, "pause")], FAST).run()
    assert decision.verdict == "rollback"
    assert bad.table == ("1", None, 0, 0.0)


def test_rollout_that_is_aborted_gives_traffic_back_and_names_who(tmp_path: Path) -> None:
    target = pair()
    decision = ordered(target, tmp_path, [(4, "abort")], FAST).run()
    assert decision.verdict == "rollback"
    assert "aborted by ann@desk: as agreed" in decision.reason
    assert target.table == ("1", None, 0, 0.0)


def test_order_without_a_rollout_under_way_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RolloutError, match="no rollout is under way"):
        Journal(tmp_path / "shop.json").give("pause", "ann@desk")
    rollout(pair(), tmp_path).run()
    with pytest.raises(RolloutError, match="no rollout is under way"):
        Journal(tmp_path / "shop.json").give("pause", "ann@desk")


def rollout_state(folder: Path) -> str:
    phase: str = json.loads((folder / "shop.json").read_text())["phase"]
    return phase


def test_rollout_beside_another_one_is_refused(tmp_path: Path) -> None:
    first, entered, leave = pair(), threading.Event(), threading.Event()

    def outcomes() -> list[LabeledOutcome]:
        entered.set()
        assert leave.wait(120)
        return first.outcomes()

    other = threading.Thread(target=rollout(first, tmp_path, outcomes=outcomes).run)
    other.start()
    assert entered.wait(120)
    try:
        with pytest.raises(RolloutError, match="another rollout is under way"):
            rollout(pair(), tmp_path).run()
    finally:
        leave.set()
        other.join(20)


def test_rollout_state_that_is_damaged_does_not_stand_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "shop.json").write_text("{half")
    assert rollout(pair(), tmp_path).run().verdict == "promote"
