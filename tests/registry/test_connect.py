"""What the steps call, on the real registry: from a package to the champion that is served."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from linnet.config import RegistryConfig
from linnet.errors import RegistryError, StorageError
from linnet.records import Gate, GateDecision, RolloutDecision, now
from linnet.registry.connect import (
    champion_package,
    connect,
    find_champion,
    find_champions,
    promote_if_accepted,
    register_challenger,
    release_candidates,
)
from linnet.registry.mlflow_registry import MlflowRegistry
from linnet.registry.protocol import package_digest
from tests.packaging.folders import Folders
from tests.registry.conftest import Submit

CONFIG = RegistryConfig()


def decision(version: str, champion: str | None, verdict: str) -> RolloutDecision:
    return RolloutDecision(
        model="tiny", version=version, champion=champion, verdict=verdict, steps=(), reason="looked",
        started_at=now(), ended_at=now(),
    )  # fmt: skip


def test_package_becomes_challenger_then_champion_then_is_found(
    database: Path, submit: Submit, steps: Folders
) -> None:
    first, second = submit(60.0).package, submit(50.0).package
    assert champion_package(CONFIG, "tiny") == (None, "")
    with pytest.raises(RegistryError, match="no champion yet"):
        find_champion()
    made = register_challenger(CONFIG, "tiny", first, steps.evaluation, steps.model, {"train": {"epochs": 3}})
    assert made.aliases == ("challenger",)
    assert {"commit", "dataset_digest", "feature_service", "config_digest", "gate_verdict"} <= set(made.tags)
    candidate, version, champion, champion_version = release_candidates(CONFIG, "tiny", "1")
    assert (version, champion, champion_version) == ("1", None, None)
    assert package_digest(candidate) == package_digest(first)
    assert not promote_if_accepted(CONFIG, decision("1", None, "inconclusive"))
    assert promote_if_accepted(CONFIG, decision("1", None, "promote"))
    ledger = connect(CONFIG).ledger.entries("tiny")
    assert promote_if_accepted(CONFIG, decision("1", "1", "promote"))
    assert connect(CONFIG).ledger.entries("tiny") == ledger, "a champion released again is no canary"
    again = register_challenger(
        CONFIG, "tiny", first, steps.evaluation, steps.model, {"train": {"epochs": 3}}
    )
    assert again.version == "1" and again.aliases == ("champion",)
    register_challenger(CONFIG, "tiny", second, steps.evaluation, steps.model, {})
    assert release_candidates(CONFIG, "tiny", "2")[3] == "1"
    found = find_champion("tiny")
    assert (found.name, found.version) == ("tiny", "1") and package_digest(found.package) == package_digest(
        first
    )


def test_package_with_a_failed_gate_is_not_registered(
    database: Path, submit: Submit, steps: Folders, tmp_path: Path
) -> None:
    failed = Path(shutil.copytree(submit().package, tmp_path / "failed"))
    gate = Gate(name="size", value=9, comparator="<=", threshold=1, passed=False, evidence="9 MB is too big")
    GateDecision(stage="package", verdict="fail", gates=(gate,)).save(failed / "gates.json")
    with pytest.raises(RegistryError, match="9 MB is too big"):
        register_challenger(CONFIG, "tiny", failed, steps.evaluation, steps.model, {})
    with pytest.raises(RegistryError, match="no champion of tiny"):
        find_champion("tiny")


def test_champion_that_cannot_be_read_hides_no_other_where_none_is_named(
    database: Path, submit: Submit, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`linnet up` served nothing at all, for one model of another program in a shared registry."""
    registry = connect(CONFIG)
    version = registry.register(submit(model="whole")).version
    registry.promote("whole", version, None, override="by hand")
    known = MlflowRegistry.models
    monkeypatch.setattr(MlflowRegistry, "models", lambda self: ["it's another's", *known(self)])
    ask = MlflowRegistry.alias
    monkeypatch.setattr(
        MlflowRegistry, "alias", lambda self, model, kind: "1" if "'" in model else ask(self, model, kind)
    )
    assert [one.name for one in find_champions()] == ["whole"]
    assert "it's another's is left out" in caplog.text
    with pytest.raises(RegistryError, match="has no version 1"):
        find_champions(["it's another's"])


def test_model_whose_package_was_changed_is_left_out_and_told_unless_it_is_named(
    database: Path, submit: Submit, caplog: pytest.LogCaptureFixture
) -> None:
    registry = connect(CONFIG)
    for model in ("changed", "whole"):
        version = registry.register(submit(model=model)).version
        registry.promote(model, version, None, override="by hand")
    (find_champion("changed").package / "more.txt").write_text("more")
    assert [one.name for one in find_champions()] == ["whole"]
    (told,) = caplog.messages
    assert told.startswith("changed is left out: ") and "was changed" in told
    with pytest.raises(StorageError, match="package of changed version 1"):
        find_champions(["whole", "changed"])
    with pytest.raises(RegistryError, match=r"several models have a champion \(changed, whole\)"):
        find_champion()
    (find_champion("whole").package / "more.txt").write_text("more")
    with pytest.raises(StorageError, match="package of changed version 1"):
        find_champions()
