"""A training under way on the page of its run."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from linnet.console.context import Context
from linnet.console.curves import Line, curves
from linnet.console.pages import run as page
from linnet.console.views import live, run
from linnet.records import StageRecord, now
from linnet.run import runs
from linnet.run.live import StepProgress, append
from linnet.run.usage import Usage
from tests.console.records import run_record

ROWS = [
    {"epoch": epoch, "loss": 1 / epoch, "train_accuracy": 0.7, "validation_accuracy": 0.6 + epoch / 100,
     "images_per_second": 1234.0}
    for epoch in (1.0, 2.0)
]  # fmt: skip


def stage(state: str = "running") -> StageRecord:
    return StageRecord(task="train", state=state, started_at=now() - timedelta(seconds=70))  # type: ignore[arg-type]


def test_training_under_way_shows_epoch_loss_pace_and_time_left() -> None:
    told = StepProgress("epoch 3/5: loss 0.3", 240, 500, 95.0)
    used = [Usage(2.0, 1.5, 900.0, 0.93, 5000.0)]
    markup = live.under_way(live.LiveStep(stage(), told, ROWS, used), of=5)
    for words in (
        "epoch 3/5: loss 0.3 · 48 % · 1 min 35 s left",
        "2 of 5",
        "0.6200",
        "1,234",
        "93 %",
        "5.0 GB",
    ):
        assert words in markup, words
    assert markup.count("<polyline") == 7  # two accuracies, loss, processors, memory and the GPU's, GPU


def test_step_that_tells_nothing_says_since_when_it_works() -> None:
    assert "1 min 1" in live.under_way(live.LiveStep(stage()))


def test_page_of_a_run_shows_the_running_step_with_its_log(tmp_path: Path) -> None:
    folder = runs.runs_dir() / "fashion-20260101-100000-aaaa"
    run_record(folder.name, state="running", stages=()).save(folder / "run.json")
    stage().save(folder / "stages" / "train.json")
    (folder / "logs").mkdir()
    (folder / "logs" / "root.train.txt").write_text("epoch 1: loss 0.5\n")
    (folder / "progress.json").write_text(json.dumps({"what": "epoch 2/3", "done": 2, "total": 4}))
    append(folder / "live" / "train.jsonl", ROWS[0])
    descriptor = runs.hold(folder)
    try:
        found = page.load(Context(), folder.name, "")
        markup = page._body(found, "")
    finally:
        import os

        os.close(descriptor)
    assert found.under_way and found.live is not None
    for words in ("Under way: train", "epoch 2/3 · 50 %", "epoch 1: loss 0.5", "1 of 3"):
        assert words in markup, words


def test_training_that_came_to_no_end_is_drawn_as_far_as_it_went() -> None:
    markup = run.training(None, live.LiveStep(stage("failed"), None, ROWS[:1]))
    assert "came to no end" in markup and markup.count("<polyline") == 3
    assert run.training(None, live.LiveStep(stage("failed"))) == "" == run.training(None, None)


def test_one_epoch_is_drawn_and_every_value_can_be_read() -> None:
    line = Line.of("<b>accuracy</b>", [{"epoch": 1.0, "a": 0.91236}], "a")
    markup = curves([line], "Accuracy", "epoch")
    assert "<title>&lt;b&gt;accuracy&lt;/b&gt;, epoch 1: 0.91236</title>" in markup and "<b>" not in markup
    assert '<td class="n">0.91236</td>' in markup and "Download CSV" in markup
    assert "nan" not in markup and "inf" not in markup


@pytest.mark.parametrize("rows", [[], [{"epoch": 1.0}], [{"epoch": 1.0, "a": float("nan")}], [{"a": None}]])
def test_nothing_finite_draws_nothing(rows: list[dict[str, float]]) -> None:
    assert curves([Line.of("a", rows, "a")], "x") == ""


def test_long_training_draws_a_bounded_number_of_dots_and_its_last_epoch() -> None:
    rows = [{"epoch": float(e), "a": e / 1000} for e in range(1, 1001)]
    markup = curves([Line.of("a", rows, "a")], "x")
    assert 100 <= markup.count("<circle") <= 130 and "epoch 1000: 1</title>" in markup


def test_lines_keep_their_color_where_one_before_them_is_empty() -> None:
    markup = curves([Line("a", ()), Line("b", ((1, 2.0), (2, 3.0)))], "x")
    assert 'class="line k1"' in markup and '<i class="k1">' in markup and '<i class="k0">' not in markup
