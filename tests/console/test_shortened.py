"""A list that is cut says so, with how many there are; the pages of one model are not those of another."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from linnet.console.markup import shortened
from linnet.console.pages.models import LEDGER, Listed, ledger_of, versions_of
from linnet.console.production_status import Retraining
from linnet.console.sources import ServerStatus
from linnet.console.views import labelling, overview, release, retraining
from linnet.labels.rounds import Round
from linnet.labels.status import LabelStatus
from linnet.records import LedgerEntry, RetrainingEntry
from tests.console.records import evidence, version
from tests.console.test_views import view

AT = datetime(2026, 11, 28, tzinfo=UTC)


def entry(number: int) -> LedgerEntry:
    return LedgerEntry(
        at=AT, model="faces", action="promote", version=str(number), actor="ada", previous=None, reason=""
    )


@pytest.mark.parametrize(("shown", "told"), [(3, ""), (2, "2 of 3 are shown; elsewhere.")])
def test_what_is_left_out_is_counted(shown: int, told: str) -> None:
    assert str(shortened(shown, 3, "elsewhere")) == (told and f'<p class="soft small">{told}</p>')


def test_every_cut_list_says_so() -> None:
    rollout = evidence().rollout
    assert rollout is not None
    counts = {f"class {number}": 1 for number in range(300)}
    assert "12 of 300 are shown" in overview.class_bars(counts)
    assert "are shown" not in overview.class_bars({"a": 1, "b": 2})
    assert "10 of 14 are shown" in release.history([(f"run {i}", rollout) for i in range(14)])
    assert "20 of 31 are shown" in ledger_of(Listed("faces", [], [entry(i) for i in range(31)], []))
    rounds = [Round(f"b{i}", AT, "", "") for i in range(12)]
    asked = LabelStatus(
        queued=0, open=0, done=0, lost=0, answers={}, quarantined=0, latencies=(), oldest_open=None,
        agreement=None, fleiss=None, cohen=None, annotators=[], rounds=rounds,
    )  # fmt: skip
    assert "10 of 12 are shown" in labelling.queue(asked)
    line = RetrainingEntry(at=AT, model="m", kind="ended", actor="ada", run_id="r", state="failed", reason="")
    known = Retraining(entries=(line,) * 20, count=44)
    assert "20 of 44 are shown" in retraining.retraining(known, "EUR", 10.0)


def test_page_of_one_model_is_no_page_of_another() -> None:
    many = Listed("textures", [version(str(i)) for i in range(45)], [], [])
    second = versions_of(many, 1)
    assert "/models?of=textures&amp;page=0" in second and "of 45" in second
    assert "No version is registered" not in second and LEDGER == 20


def test_server_of_other_models_is_not_said_to_be_none() -> None:
    other = ServerStatus(url="http://127.0.0.1:8090", problem="It serves faces alone.")
    assert [need.title for need in overview.needs(view(served=other))] == [
        "Version 6 of fashion is not served"
    ]
