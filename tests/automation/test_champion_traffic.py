"""A promotion by hand is whole: a package that cannot be served never becomes champion."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnet.automation import champion_traffic
from linnet.automation.champion_traffic import Server, promote_by_hand, roll_back_by_hand
from linnet.console.actions import Operator
from linnet.console.audit import AuditLog
from linnet.console.sources import Sources
from linnet.errors import LinnetError, RegistryError, ServingError
from linnet.records import ModelVersion
from linnet.registry.champion import ModelRegistry
from tests.doubles.registry import MemoryRegistry
from tests.registry import conftest
from tests.registry.conftest import Submit

steps, submit = conftest.steps, conftest.submit


class StubbornServer:
    """A model server in memory that refuses what it is told to refuse."""

    def __init__(self, load: str = "", routes: str = "") -> None:
        self.champion: str | None = "1"
        self._load, self._routes = load, routes

    def load(self, version: str, package: Path) -> None:
        if version == self._load:
            raise ServingError(f"version {version} cannot be loaded")

    def set_routes(self, champion: str | None) -> None:
        if champion == self._routes:
            raise ServingError("the server is going down")
        self.champion = champion


@pytest.fixture
def registry(submit: Submit) -> ModelRegistry:
    made = ModelRegistry(MemoryRegistry(), "ada@lab")
    for sharpness in (60.0, 50.0):
        made.register(submit(sharpness))
    made.promote("tiny", "1", None, override="the first")
    return made


def served_by(server: StubbornServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def loaded(registry: ModelRegistry, version: ModelVersion) -> Server:
        server.load(version.version, registry.package_folder(version))
        return server

    monkeypatch.setattr(champion_traffic, "_loaded", loaded)


def champions(registry: ModelRegistry) -> list[tuple[str, str]]:
    return [(e.action, e.version) for e in registry.ledger.entries() if e.action != "register"]


def test_package_that_cannot_be_loaded_does_not_become_champion(
    registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    served_by(server := StubbornServer(load="2"), monkeypatch)
    with pytest.raises(ServingError):
        promote_by_hand(registry, "tiny", "2", "why")
    champion = registry.champion("tiny")
    assert champion is not None and champion.version == "1" == server.champion
    assert champions(registry) == [("promote", "1")], "nor does the ledger say so"


def test_broken_package_is_found_without_a_server(registry: ModelRegistry) -> None:
    folder = registry.package_folder(registry.version("tiny", "2"))
    for file in folder.glob("*.onnx"):
        file.chmod(0o644)
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(LinnetError):
        promote_by_hand(registry, "tiny", "2", "why")
    champion = registry.champion("tiny")
    assert champion is not None and champion.version == "1"


def test_alias_goes_back_when_the_server_refuses_the_traffic(
    registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    served_by(server := StubbornServer(routes="2"), monkeypatch)
    with pytest.raises(ServingError, match="going down"):
        promote_by_hand(registry, "tiny", "2", "why")
    champion = registry.champion("tiny")
    assert champion is not None and champion.version == "1" == server.champion
    assert champions(registry) == [("promote", "1"), ("promote", "2"), ("promote", "1")]
    assert "taken back" in registry.ledger.entries()[-1].reason


def test_rollback_to_a_package_that_cannot_be_loaded_changes_nothing(
    registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    served_by(server := StubbornServer(), monkeypatch)
    promote_by_hand(registry, "tiny", "2", "why")
    assert server.champion == "2"
    served_by(StubbornServer(load="1"), monkeypatch)
    with pytest.raises(ServingError):
        roll_back_by_hand(registry, "tiny", "why")
    champion = registry.champion("tiny")
    assert champion is not None and champion.version == "2"
    served_by(server, monkeypatch)
    assert roll_back_by_hand(registry, "tiny", "why").version == server.champion == "1"


def test_audit_says_failed_only_where_nothing_changed(
    registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    served_by(StubbornServer(load="2"), monkeypatch)
    monkeypatch.setattr("linnet.console.actions.connect", lambda *_: registry)
    audit = AuditLog(tmp_path / "audit.jsonl")
    with pytest.raises(ServingError):
        Operator(Sources(), audit, "operator").promote("tiny", "2", "why")
    champion = registry.champion("tiny")
    assert audit.lines()[0].outcome == "failed" and champion is not None and champion.version == "1"


def test_first_champion_that_gets_no_traffic_is_said_to_be_one(
    submit: Submit,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry = ModelRegistry(MemoryRegistry(), "ada@lab")
    registry.register(submit(60.0))
    served_by(StubbornServer(routes="1"), monkeypatch)
    with pytest.raises(RegistryError, match="is the champion, but"):
        promote_by_hand(registry, "tiny", "1", "why")
