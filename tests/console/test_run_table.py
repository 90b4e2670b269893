"""The table of runs: search, columns, order; tags and notes; the comparison of several."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from linnet.console.run_table import USUAL, Row, TableQuery, chosen, offered, value
from linnet.console.scatter import Dot, scatter
from linnet.console.views import comparison, run_table
from linnet.errors import RunError
from linnet.records import RunRequest, StageRecord
from linnet.run.remarks import RunRemarks, read_remarks, write_remarks
from tests.console.records import BEGAN, evaluation, evidence, run_record
from tests.console.test_views import EVIL, check


def row(name: str, epochs: Any = 3, accuracy: float | None = 0.9, **more: Any) -> Row:
    values = {} if accuracy is None else {"test_accuracy": accuracy}
    said = more.pop("said", RunRemarks())
    stage = StageRecord(task="evaluate", state="succeeded", started_at=BEGAN, values=values)
    config = {"name": "fashion", "train": {"epochs": epochs}}
    return Row(run_record(name, stages=(stage,), config=config, **more), said)


ROWS = [
    row("a", 3, 0.9, started_at=BEGAN),
    row("b", 12, None, state="failed", started_at=BEGAN + timedelta(hours=1), error="disk full"),
    row(
        "c", 9.0, 0.8, started_at=BEGAN + timedelta(hours=2), said=RunRemarks(tags=("baseline",), note="slow")
    ),
]


def named(**query: Any) -> str:
    return "".join(one.record.run_id for one in chosen(ROWS, TableQuery(**query), lambda _: {"auc": 0.5}))


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, "cba"),
        ({"descending": False}, "abc"),
        ({"sort": "train.epochs"}, "bca"),  # 12, 9, 3: as numbers, not as words
        ({"sort": "result.test_accuracy"}, "acb"),  # what has none comes last,
        ({"sort": "result.test_accuracy", "descending": False}, "cab"),  # whichever way
        ({"sort": "nonsense"}, "abc"),
        ({"words": "baseline"}, "c"),
        ({"words": "FULL disk"}, "b"),
        ({"words": "train.epochs>=9"}, "cb"),
        ({"words": "train.epochs>=9 disk"}, "b"),
        ({"words": "train.epochs=3"}, "a"),
        ({"words": "result.test_accuracy<0.85"}, "c"),
        ({"words": "metric.auc=0.5"}, "cba"),
        ({"words": "tags=baseline"}, "c"),
        ({"words": "tags!=baseline"}, "ba"),
        ({"words": "state!=failed"}, "ca"),
        ({"words": "nothing.here>1"}, ""),
        ({"state": "failed"}, "b"),
    ],
)
def test_runs_are_found_and_ordered(query: dict[str, Any], found: str) -> None:
    assert named(**query) == found


def test_address_says_what_is_asked_for_and_nothing_else() -> None:
    asked = TableQuery("a b", "failed", ("state", "train.epochs"), "took", False, 2)
    pairs = [part.split("=") for part in asked.address().partition("?")[2].split("&")]
    from urllib.parse import unquote_plus

    assert TableQuery.parse((name, unquote_plus(text)) for name, text in pairs) == asked
    assert TableQuery().address() == "/runs" and TableQuery.parse([]) == TableQuery()


@pytest.mark.parametrize("pairs", [[("page", "-1")], [("page", "x")], [("page", "²")], [("order", "up")]])
def test_address_that_nobody_wrote_is_the_usual_table(pairs: list[tuple[str, str]]) -> None:
    assert TableQuery.parse(pairs) == TableQuery()


def test_columns_on_offer_are_the_settings_that_differ() -> None:
    found = offered([*ROWS, row("d", 3.0)], ["auc"])
    assert found["Settings that differ"] == ["train.epochs"]
    assert found["Metrics"] == ["metric.auc"] and found["Results"] == ["result.test_accuracy"]
    assert offered([row("a", 3), row("b", 3.0)], [])["Settings that differ"] == []  # KFP's whole numbers


def test_table_shows_what_was_asked_for_and_names_are_text() -> None:
    said = RunRemarks(tags=("x",), note=EVIL)
    request = RunRequest(cause="person", actor=EVIL)
    query = TableQuery(words=EVIL, columns=("actor", "note", "train.epochs", EVIL), sort="took")
    rows = [row(EVIL, EVIL, said=said, request=request)]
    markup = check(run_table.listing(rows, 60, query, {"Facts": [EVIL]}, [EVIL], lambda _: {}))
    assert 'aria-sort="descending"' not in markup  # the order's column is not shown
    assert "Next →" in markup and "Older" not in markup
    markup = check(run_table.listing(ROWS, 3, TableQuery(), {}, [], lambda _: {}))
    assert markup.count('name="run"') == 3 and 'aria-sort="descending"' in markup
    assert [value(ROWS[2], name, lambda _: {}) for name in USUAL][5] == "baseline"


def test_tags_and_note_are_kept_with_the_run(tmp_path: Path) -> None:
    assert read_remarks(tmp_path) == RunRemarks()
    assert write_remarks(tmp_path, "baseline, lr:0.1  baseline", " slow ").tags == ("baseline", "lr:0.1")
    assert read_remarks(tmp_path).note == "slow"
    for wrong in ("a<b", "x" * 41, ",".join(map(str, range(21)))):
        with pytest.raises(RunError):
            write_remarks(tmp_path, wrong, "")
    assert read_remarks(tmp_path).tags == ("baseline", "lr:0.1")  # as it was


def test_ten_runs_are_compared_with_curves_scatter_and_confusions() -> None:
    found = [
        evidence(
            record=run_record(f"run-{n}", config={"name": "fashion", "train": {"epochs": n}}),
            evaluation=evaluation(0.8 + n / 100),
        )
        for n in range(10)
    ]
    markup = check(comparison.compare(found, "train.epochs", "macro_f1"))
    assert "<b>0.8900 ✓</b>" in markup  # the best of each metric is marked,
    assert markup.count('aria-label="confusion matrix"') == 10
    assert "J: train.epochs 9, Macro F1 0.89" in markup and '<polyline class="line k9"' in markup
    assert markup.count(" ✓</b>") == 6 and "−" not in markup.split("Metrics")[1].split("</section>")[0]


def test_runs_of_other_test_samples_have_no_best() -> None:
    other = evaluation(0.95).model_copy(update={"test_digest": "other"})
    markup = comparison.compare([evidence(), evidence(), evidence(evaluation=other)])
    assert " ✓</b>" not in markup and "no best is marked" in markup


@pytest.mark.parametrize("texts", [("0.1", "0.2"), ("a", "b"), ("1", "1"), ("1", "x")])
def test_scatter_places_numbers_and_words(texts: tuple[str, str]) -> None:
    drawn = scatter([Dot("A", texts[0], 0.8), Dot("B", texts[1], 0.9)], "lr", "accuracy")
    assert drawn.count("<circle") == 2 and "nan" not in drawn
    assert scatter([], "lr", "accuracy") == ""
