"""The champion's traffic follows its alias: a package that cannot be served never becomes champion."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from linnet.console.actions import Operator
from linnet.console.audit import AuditLog
from linnet.console.sources import Sources
from linnet.errors import LinnetError, RegistryError, ServingError
from linnet.registry.champion import ModelRegistry, interrupted_moves
from linnet.registry.protocol import Alias
from linnet.serving.champion_traffic import ServerTraffic
from linnet.storage.paths import state_dir
from tests.doubles.registry import MemoryRegistry
from tests.registry.conftest import Submit


class StubbornTraffic:
    """A `ChampionTraffic` in memory that refuses a version."""

    def __init__(self, refused: str = "") -> None:
        self.champion: str | None = None
        self.refused = refused

    def give(self, model: str, version: str, package: Path) -> None:
        if version == self.refused:
            raise ServingError(f"version {version} cannot be loaded")
        self.champion = version


def registry_with(traffic: StubbornTraffic | ServerTraffic, submit: Submit) -> ModelRegistry:
    """tiny with versions 1, the champion, and 2."""
    made = ModelRegistry(MemoryRegistry(), "ada@lab", traffic=traffic)
    for sharpness in (60.0, 50.0):
        made.register(submit(sharpness))
    made.promote("tiny", "1", None, override="the first")
    return made


def champion_of(registry: ModelRegistry) -> str | None:
    champion = registry.champion("tiny")
    return champion.version if champion is not None else None


def moves(registry: ModelRegistry) -> list[tuple[str, str]]:
    return [(e.action, e.version) for e in registry.ledger.entries() if e.action != "register"]


def fail(problem: str) -> Callable[..., None]:
    def failing(*_: object) -> None:
        raise RegistryError(problem)

    return failing


def test_version_that_the_server_refuses_does_not_become_champion(submit: Submit) -> None:
    registry = registry_with(traffic := StubbornTraffic(refused="2"), submit)
    with pytest.raises(ServingError):
        registry.promote("tiny", "2", "1", override="why")
    assert champion_of(registry) == "1" == traffic.champion
    assert moves(registry) == [("promote", "1")], "nor does the ledger say so"
    assert not interrupted_moves(state_dir())


def test_broken_package_is_found_without_a_server(submit: Submit) -> None:
    registry = registry_with(ServerTraffic(), submit)
    folder = registry.package_folder(registry.version("tiny", "2"))
    for file in folder.glob("*.onnx"):
        file.chmod(0o644)
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(LinnetError):
        registry.promote("tiny", "2", "1", override="why")
    assert champion_of(registry) == "1" and moves(registry) == [("promote", "1")]


def test_rollback_to_a_version_that_the_server_refuses_changes_nothing(submit: Submit) -> None:
    registry = registry_with(traffic := StubbornTraffic(), submit)
    registry.promote("tiny", "2", "1", override="why")
    assert traffic.champion == "2"
    traffic.refused = "1"
    with pytest.raises(ServingError):
        registry.rollback("tiny", "why")
    assert champion_of(registry) == "2" == traffic.champion
    traffic.refused = ""
    assert registry.rollback("tiny", "why").version == traffic.champion == "1"


def test_first_champion_that_gets_no_traffic_is_none(submit: Submit) -> None:
    registry = ModelRegistry(MemoryRegistry(), "ada@lab", traffic=StubbornTraffic(refused="1"))
    registry.register(submit(60.0))
    with pytest.raises(ServingError):
        registry.promote("tiny", "1", None, override="why")
    assert champion_of(registry) is None and not moves(registry)


def test_traffic_that_cannot_be_mended_keeps_no_later_promotion_away(
    submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill left an intent, and its version cannot be served any more: another one still can be promoted."""
    registry = registry_with(traffic := StubbornTraffic(), submit)
    registry.register(submit(40.0))

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(registry.ledger, "append", die)
        with pytest.raises(Killed):
            registry.promote("tiny", "2", "1", override="why")
    traffic.refused = "2"
    with pytest.raises(ServingError):
        registry.repair("tiny")
    assert [move.version for move in interrupted_moves(state_dir())] == ["2"], "a later repair tries again"
    assert registry.promote("tiny", "3", "2", override="why").version == traffic.champion == "3"
    assert moves(registry) == [("promote", "1"), ("promote", "2"), ("promote", "3")]
    assert not interrupted_moves(state_dir())


def test_failed_move_whose_traffic_cannot_go_back_keeps_its_intent(
    submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = registry_with(traffic := StubbornTraffic(), submit)
    traffic.refused = "1"
    with monkeypatch.context() as patch:
        patch.setattr(registry.store, "set_alias", fail("database is locked"))
        with pytest.raises(LinnetError, match=r"database is locked.*version 1 cannot be loaded"):
            registry.promote("tiny", "2", "1", override="why")
    assert (traffic.champion, champion_of(registry)) == ("2", "1")
    assert [move.version for move in interrupted_moves(state_dir())] == ["2"], "or nobody ever settles it"
    traffic.refused = ""
    registry.repair("tiny")
    assert traffic.champion == "1" and moves(registry) == [("promote", "1")]
    assert not interrupted_moves(state_dir())


def test_failed_move_whose_alias_cannot_go_back_is_finished_later(
    submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = registry_with(traffic := StubbornTraffic(), submit)
    moved = registry.store.set_alias

    def once(model: str, alias: Alias, version: str | None) -> None:
        monkeypatch.setattr(registry.store, "set_alias", fail("the database is full"))
        moved(model, alias, version)

    with monkeypatch.context() as patch:
        patch.setattr(registry.ledger, "append", fail("no space left"))
        monkeypatch.setattr(registry.store, "set_alias", once)
        with pytest.raises(LinnetError, match=r"no space left.*the database is full"):
            registry.promote("tiny", "2", "1", override="why")
    assert traffic.champion == "2" == champion_of(registry), "traffic and alias name one version"
    assert [move.version for move in interrupted_moves(state_dir())] == ["2"]
    monkeypatch.setattr(registry.store, "set_alias", moved)
    registry.repair("tiny")
    assert moves(registry) == [("promote", "1"), ("promote", "2")]
    assert traffic.champion == "2" == champion_of(registry) and not interrupted_moves(state_dir())


def test_audit_says_failed_only_where_nothing_changed(
    submit: Submit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    registry = registry_with(StubbornTraffic(refused="2"), submit)
    monkeypatch.setattr("linnet.console.actions.connect", lambda *_: registry)
    audit = AuditLog(tmp_path / "audit.jsonl")
    with pytest.raises(ServingError):
        Operator(Sources(), audit, "operator").promote("tiny", "2", "why")
    assert audit.lines()[0].outcome == "failed" and champion_of(registry) == "1"
