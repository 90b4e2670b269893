"""Moving aliases: evidence, compare-and-swap, rollback, and kills between alias and ledger."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from linnet.errors import PromotionConflict, RegistryError
from linnet.records import JudgeVerdict, ModelPackage, RolloutDecision, now
from linnet.registry.champion import ModelRegistry
from linnet.registry.ledger import Ledger
from linnet.registry.mlflow_registry import MlflowRegistry
from linnet.registry.protocol import package_digest
from tests.doubles.registry import MemoryRegistry
from tests.registry.conftest import Submit
from tests.registry.forked import kill_self, start, wait


def rollout(version: str, verdict: JudgeVerdict = "promote", model: str = "tiny") -> RolloutDecision:
    return RolloutDecision(
        model=model, version=version, champion=None, verdict=verdict, steps=(), reason="no worse",
        started_at=now(), ended_at=now(),
    )  # fmt: skip


@pytest.fixture
def registry(submit: Submit) -> ModelRegistry:
    """Three versions in memory."""
    made = ModelRegistry(MemoryRegistry(), "ada@lab")
    for sharpness in (60.0, 50.0, 40.0):
        made.register(submit(sharpness))
    return made


def actions(registry: ModelRegistry) -> list[tuple[str, str, str | None]]:
    return [(e.action, e.version, e.previous) for e in registry.ledger.entries() if e.action != "register"]


def test_promotion_after_gates_and_canary_moves_alias_and_writes_who_and_why(registry: ModelRegistry) -> None:
    registry.set_challenger("tiny", "1")
    registry.set_challenger("tiny", "1")
    promoted = registry.promote("tiny", "1", None, rollout("1"))
    assert promoted.aliases == ("champion",)
    assert actions(registry) == [("challenge", "1", None), ("promote", "1", None)]
    last = registry.ledger.entries()[-1]
    assert (last.actor, last.reason) == ("ada@lab", "gates pass; canary: no worse")
    assert last.evidence["verdict"] == "promote"


@pytest.mark.parametrize(
    ("decision", "why"),
    [
        (None, "no canary"),
        (rollout("1", "inconclusive"), "the canary says inconclusive"),
        (rollout("1", "rollback"), "the canary says rollback"),
        (rollout("2"), "the canary was of tiny version 2"),
        (rollout("1", model="other"), "the canary was of other version 1"),
    ],
)
def test_promotion_without_evidence_is_refused_unless_a_person_says_why(
    registry: ModelRegistry, decision: RolloutDecision | None, why: str
) -> None:
    with pytest.raises(RegistryError, match=why):
        registry.promote("tiny", "1", None, decision)
    with pytest.raises(RegistryError, match=why):
        registry.promote("tiny", "1", None, decision, override="  ")
    assert registry.champion("tiny") is None and actions(registry) == []
    registry.promote("tiny", "1", None, decision, override="checked by hand")
    assert "checked by hand (a person decided, although" in registry.ledger.entries()[-1].reason
    assert why in registry.ledger.entries()[-1].reason


def test_promotion_expecting_another_champion_conflicts(registry: ModelRegistry) -> None:
    registry.promote("tiny", "1", None, rollout("1"))
    with pytest.raises(PromotionConflict) as conflict:
        registry.promote("tiny", "2", None, rollout("2"))
    assert (conflict.value.expected, conflict.value.found) == (None, "1")
    assert registry.champion("tiny").version == "1"  # type: ignore[union-attr]


def test_promotion_of_the_champion_is_without_effect(registry: ModelRegistry) -> None:
    registry.promote("tiny", "1", None, rollout("1"))
    registry.promote("tiny", "1", None, rollout("1"))
    assert actions(registry) == [("promote", "1", None)]


def test_rollback_walks_back_and_gives_byte_identical_packages(
    registry: ModelRegistry, submit: Submit
) -> None:
    registry.promote("tiny", "1", None, rollout("1"))
    registry.promote("tiny", "2", "1", rollout("2"))
    registry.promote("tiny", "3", "2", rollout("3"))
    for version, sharpness in (("2", 50.0), ("1", 60.0)):
        back = registry.rollback("tiny", "errors in production")
        assert back.version == version and back.aliases == ("champion",)
        assert package_digest(registry.package_folder(back)) == package_digest(submit(sharpness).package)
    with pytest.raises(RegistryError, match="no earlier champion"):
        registry.rollback("tiny", "again")
    registry.allow("tiny", "3", "the errors were the feature store's")
    registry.promote("tiny", "3", "1", rollout("3"))
    assert registry.rollback("tiny", "worse").version == "1"


def test_rollback_without_reason_or_champion_is_refused(registry: ModelRegistry) -> None:
    with pytest.raises(RegistryError, match="needs a reason"):
        registry.rollback("tiny", " ")
    with pytest.raises(RegistryError, match="no earlier champion"):
        registry.rollback("tiny", "bad")


def test_racing_threads_promote_one(registry: ModelRegistry) -> None:
    outcomes: list[str] = []
    together = threading.Barrier(2)

    def race(version: str) -> None:
        together.wait()
        try:
            registry.promote("tiny", version, None, rollout(version))
            outcomes.append("won")
        except PromotionConflict:
            outcomes.append("lost")

    threads = [threading.Thread(target=race, args=(version,)) for version in ("1", "2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["lost", "won"] and len(actions(registry)) == 1


def test_racing_processes_promote_one(database: Path, submit: Submit) -> None:
    registry = ModelRegistry(MlflowRegistry(), "ada@lab")
    for sharpness in (60.0, 50.0):
        registry.register(submit(sharpness))
    ready, release = os.pipe(), os.pipe()

    def race(version: str) -> int:
        mine = ModelRegistry(MlflowRegistry(), f"racer-{version}")
        mine.champion("tiny")  # the slow opening of the database is behind both
        os.write(ready[1], b".")
        os.read(release[0], 1)
        try:
            mine.promote("tiny", version, None, rollout(version))
        except PromotionConflict:
            return 7
        return 0

    children = [start(lambda version=version: race(version)) for version in ("1", "2")]
    for _ in children:
        os.read(ready[0], 1)
    os.write(release[1], b"..")
    assert sorted(wait(child) for child in children) == [0, 7]
    for descriptor in (*ready, *release):
        os.close(descriptor)
    champion = registry.champion("tiny")
    assert champion is not None
    assert actions(registry) == [("promote", champion.version, None)]
    assert registry.ledger.entries()[-1].actor == f"racer-{champion.version}"


def _die_before_alias(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(MlflowRegistry, "set_alias", lambda *_: kill_self())


def _die_after_alias(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ledger, "append", lambda *_: kill_self())


def _die_after_ledger(patch: pytest.MonkeyPatch) -> None:
    real = Ledger.append
    patch.setattr(Ledger, "append", lambda self, entry: (real(self, entry), kill_self()))


@pytest.mark.parametrize(
    ("die", "moved"), [(_die_before_alias, False), (_die_after_alias, True), (_die_after_ledger, True)]
)
def test_promotion_killed_between_alias_and_ledger_is_repaired(
    database: Path,
    submit: Submit,
    monkeypatch: pytest.MonkeyPatch,
    die: Callable[[pytest.MonkeyPatch], None],
    moved: bool,
) -> None:
    registry = ModelRegistry(MlflowRegistry(), "ada@lab")
    for sharpness in (60.0, 50.0):
        registry.register(submit(sharpness))
    registry.promote("tiny", "1", None, rollout("1"))

    def killed() -> int:
        die(monkeypatch)
        ModelRegistry(MlflowRegistry(), "killed@lab").promote("tiny", "2", "1", rollout("2"))
        return 0

    assert wait(start(killed)) == -signal.SIGKILL
    registry.repair("tiny")
    champion = registry.champion("tiny")
    assert champion is not None and champion.version == ("2" if moved else "1")
    assert len(actions(registry)) == (2 if moved else 1)
    if moved:
        assert registry.ledger.entries()[-1].actor == "killed@lab"
        assert registry.rollback("tiny", "as the ledger knows").version == "1"
    else:
        registry.promote("tiny", "2", "1", rollout("2"))


def test_models_whose_files_would_be_the_same_cannot_both_be_registered(submit: Submit) -> None:
    """Ledgers, histories and rollouts are files by the model's name: one of two would read the other's."""
    registry = ModelRegistry(MemoryRegistry(), "ada@lab")
    registry.register(submit(model="shoes_v2"))
    registry.register(submit(model="shoes_v2"))
    with pytest.raises(
        RegistryError, match=r"shoes\.v2.*files would be those of model shoes_v2.*registry.model"
    ):
        registry.register(submit(model="shoes.v2"))
    assert registry.store.models() == ["shoes_v2"] and not registry.versions("shoes.v2")


def test_version_that_was_rolled_back_does_not_come_back_by_itself(registry: ModelRegistry) -> None:
    registry.promote("tiny", "1", None, rollout("1"))
    registry.promote("tiny", "2", "1", rollout("2"))
    assert registry.blocked("tiny", "2") == ""
    registry.rollback("tiny", "complaints about sandals")
    why = registry.blocked("tiny", "2")
    assert "version 2 was rolled back on " in why and "ada@lab (complaints about sandals)" in why
    with pytest.raises(RegistryError, match="linnet models allow 2"):
        registry.promote("tiny", "2", "1", rollout("2"))
    assert (registry.blocked("tiny", "1"), registry.blocked("tiny", "3")) == ("", "")
    with pytest.raises(RegistryError, match="needs a reason"):
        registry.allow("tiny", "2", " ")
    registry.allow("tiny", "2", "it was another shop")
    assert registry.ledger.entries()[-1].action == "allow" and registry.blocked("tiny", "2") == ""
    registry.promote("tiny", "2", "1", rollout("2"))
    with pytest.raises(RegistryError, match="was not rolled back"):
        registry.allow("tiny", "2", "again")


def test_same_model_under_another_number_does_not_come_back_either(
    registry: ModelRegistry, submit: Submit, tmp_path: Path
) -> None:
    registry.promote("tiny", "1", None, rollout("1"))
    registry.promote("tiny", "2", "1", rollout("2"))
    registry.rollback("tiny", "complaints")
    again = submit(50.0)  # packaged anew: another file, the same network
    about = ModelPackage.load(again.package / "package.json")
    about.model_copy(update={"latency_p95_ms": 2.0}).save(again.package / "package.json")
    for version in registry.store.versions("tiny"):
        if version.version == "2":
            version.tags["model_digest"] = about.model_digest
    twin = registry.register(replace(again, tags={**again.tags, "model_digest": about.model_digest}))
    assert twin.version == "4"
    assert "version 2, which is the same model as version 4, was rolled back" in registry.blocked("tiny", "4")
    registry.promote("tiny", "4", "1", None, override="checked by hand")
    assert registry.blocked("tiny", "4") == "" == registry.blocked("tiny", "2"), "a person has spoken"
