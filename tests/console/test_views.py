"""Views are plain functions: records in, markup out."""

from __future__ import annotations

import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest

from linnet.console import charts
from linnet.console.markup import Html, join, pager, prose, table, tag, when
from linnet.console.pages.release import allowed
from linnet.console.prediction_log import LogSummary
from linnet.console.sources import Canary, ServerStatus
from linnet.console.views import comparison, models, monitoring, overview, release, run
from linnet.launch.graph import PipelineTask
from linnet.pages.numbers import duration, signed
from linnet.records import JudgeSnapshot, LedgerEntry, MetricJudgement, now
from tests.console.records import BEGAN, evaluation, evidence, run_record, version

EVIL = "<script>alert('x')</script>"
OPEN = {"img", "input", "br"}


class Balance(HTMLParser):
    """Fails where tags do not close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in OPEN:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        """`<path/>`, of SVG: nothing stays open."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"


def check(markup: Html) -> str:
    parser = Balance()
    parser.feed(markup)
    assert parser.open == []
    assert "<script" not in markup
    return str(markup)


def view(**more: object) -> overview.Overview:
    values: dict[str, object] = {
        "model": "fashion",
        "champion": version("6", "champion"),
        "challenger": None,
        "promoted_at": now(),
        "served": ServerStatus(url="http://127.0.0.1:1", champion="6", versions=("6",)),
        "log": LogSummary(requests=1000, failed=0, p50_ms=1.0, p95_ms=2.0, p99_ms=3.0),
        "runs": [run_record()],
    }
    return overview.Overview(**values | more)  # type: ignore[arg-type]


def canary(phase: str, alive: bool = True) -> Canary:
    judgement = MetricJudgement(
        metric="errors", champion=0.0, candidate=0.01, low=-0.01, high=0.02, margin=0.05, verdict="good", evidence=EVIL,
    )  # fmt: skip
    looks = tuple(JudgeSnapshot(seconds=s, percent=50, judgements=(judgement,)) for s in (1.0, 2.0))
    return Canary("fashion", "7", "6", phase, alive, 50, 2.0, (), looks)


def titles(**more: object) -> list[str]:
    return [need.title for need in overview.needs(view(**more))]


def test_nothing_waits_where_all_is_well() -> None:
    assert titles() == []
    assert "nothing to do" in check(overview.page(view()))


@pytest.mark.parametrize(
    ("change", "title"),
    [
        ({"served": ServerStatus(problem="No server runs")}, "No server is running"),
        ({"served": ServerStatus(champion="5")}, "The server does not serve the champion"),
        ({"served": ServerStatus(champion="6", candidate="7", percent=5)}, "A canary is under way"),
        ({"canary": canary("waiting")}, "A canary waits for you"),
        ({"canary": canary("running", alive=False)}, "Abandoned canary"),
        ({"runs": [run_record(state="failed", error="disk full")]}, "The last run failed"),
        ({"runs": [run_record(state="rejected")]}, "The last candidate was refused"),
        ({"runs": [run_record(state="interrupted")]}, "The last run was interrupted"),
        ({"challenger": version("7", "challenger")}, "A challenger waits for a decision"),
        ({"promoted_at": now() - timedelta(days=40)}, "The champion is old"),
    ],
)
def test_what_waits_for_a_person_is_named(change: dict[str, object], title: str) -> None:
    assert titles(**change) == [title]
    assert title in check(overview.page(view(**change)))


def test_challenger_of_a_run_that_is_under_way_does_not_wait() -> None:
    assert titles(challenger=version("7", "challenger"), runs=[run_record(state="running")]) == []


@pytest.mark.parametrize(
    ("phase", "alive", "orders"),
    [
        ("running", True, ("pause", "abort")),
        ("waiting", True, ("approve", "pause", "abort")),
        ("paused", True, ("resume", "abort")),
        ("returning", True, ()),
        ("waiting", False, ("abort",)),
    ],
)
def test_canary_offers_what_its_phase_allows(phase: str, alive: bool, orders: tuple[str, ...]) -> None:
    found = canary(phase, alive)
    assert allowed(found) == orders
    markup = check(release.canary(found))
    assert "Canary of fashion 7 against champion 6" in markup and "class='band'" in markup.replace(
        "class=band", "class='band'"
    )
    assert ("process is gone" in markup) is not alive
    traffic = check(release.live(ServerStatus(problem="No server runs"), found))
    assert ("50 % champion, 50 % candidate" in traffic) is alive


def test_most_urgent_comes_first() -> None:
    found = titles(
        served=ServerStatus(champion="5", candidate="7"),
        challenger=None,
        promoted_at=now() - timedelta(days=40),
    )
    assert found == ["The server does not serve the champion", "The champion is old", "A canary is under way"]


def test_first_page_of_all_says_how_to_begin() -> None:
    assert "linnet run" in check(overview.page(view(runs=[], champion=None)))


def test_texts_from_data_are_escaped_everywhere() -> None:
    record = run_record(state="failed", error=EVIL, config={"name": EVIL})
    found = evidence(record=record)
    ledger = [
        LedgerEntry(
            at=BEGAN, actor=EVIL, action="promote", model="m", version="1", previous=None, reason=EVIL
        )
    ]
    log = LogSummary(
        requests=1, first=BEGAN, last=BEGAN, classes={EVIL: 1}, versions={EVIL: 1}, hours=((1, 1),)
    )
    for markup in (
        overview.page(view(runs=[record])),
        run.summary(found),
        run.heading_facts(record),
        run.gates(found.gates, run.intervals_of(found)),
        run.canary(found),
        comparison.compare([found, evidence()]),
        run.step(record.stages[0], None, EVIL),
        models.ledger_table(ledger),
        models.versions_table([version(EVIL)]),
        models.against(version("7"), version("6", "champion"), evaluation()),
        monitoring.page(log, {EVIL: 1}),
        release.decision(EVIL, found.rollout),  # type: ignore[arg-type]
        release.live(ServerStatus(url=EVIL, champion=EVIL, candidate=EVIL, percent=5)),
    ):
        check(markup)


def test_comparison_names_what_differs_and_which_way() -> None:
    other = evidence(
        record=run_record("fashion-2", config={"name": "fashion", "train": {"epochs": 9}}),
        evaluation=evaluation(0.95),
    )
    markup = check(comparison.compare([evidence(), other]))
    assert re.search(r"<code>train.epochs</code></td><td>3</td><td>9</td>", markup)
    assert 'class="chip good">+0.0500' in markup and 'class="chip bad">+0.0500' in markup  # accuracy, Brier


def test_gate_that_failed_is_marked_by_more_than_color() -> None:
    markup = check(run.gates(evidence(passed=False).gates, {}))
    assert "✗ fail" in markup and "0.8900 &lt; 0.9500" in markup


def test_graph_shows_each_step_with_its_state_and_wraps() -> None:
    names = [f"step-{i}" for i in range(9)]
    tasks = [
        PipelineTask(n, (names[i - 1],) if i else (), ("gate",) if i > 6 else (), 0, "", 0, False)
        for i, n in enumerate(names)
    ]
    markup = check(
        charts.dag(
            tasks, {"step-0": ("succeeded", "2 s"), "step-1": ("failed", "")}, "step-1", "/runs/x?step="
        )
    )
    assert markup.count("<a ") == 9 and 'href="/runs/x?step=step-8"' in markup
    assert "<title>step-0: succeeded, 2 s</title>" in markup and "box failed picked" in markup
    assert markup.count("edge gate") == 1
    assert int(re.search(r'svg width="(\d+)"', markup).group(1)) <= 1000  # type: ignore[union-attr]


def test_log_of_a_step_leaves_out_other_steps_and_colors() -> None:
    log = "Executing task \x1b[96m'train'\x1b[0m\n epoch 1\nTask 'train' finished\nExecuting task 'evaluate'\n other\n"
    assert run.log_of(log, "train") == "Executing task 'train'\n epoch 1\nTask 'train' finished"


def test_class_mix_is_the_total_variation() -> None:
    assert monitoring.distance({"a": 5, "b": 5}, {"a": 50, "b": 50}) == 0.0
    assert monitoring.distance({"a": 10}, {"b": 1}) == 1.0
    assert monitoring.distance({"a": 3, "b": 1}, {"a": 1, "b": 1}) == pytest.approx(0.25)


def test_small_pieces() -> None:
    assert tag("a", "<", href='/"') == '<a href="/&quot;">&lt;</a>'
    assert join(["<", Html("<b>")]) == "&lt;<b>"
    assert prose("run `a <b>` now") == "run <code>a &lt;b&gt;</code> now"
    assert [duration(s) for s in (0.5, 59, 61, 3700, None)] == [
        "0.5 s",
        "59 s",
        "1 min 01 s",
        "1 h 01 min",
        "–",
    ]
    assert (signed(-0.00001, 4), signed(-1.5)) == ("0.0000", "−1.50")
    assert 'datetime="2026-11-24T12:00:00+00:00"' in when(BEGAN) and "12:00:00 UTC" in when(BEGAN)
    assert pager(0, 10, 10, "/x") == "" and 'href="/x?page=1"' in pager(0, 10, 11, "/x")
    assert 'class="n" scope="col">N' in table((">N",), [(1,)])


def test_tables_say_of_how_many_they_show_the_first() -> None:
    """The twelve commonest of 300 classes, or twenty lines of a ledger, stood as if they were all."""
    counts = {f"class {number}": 300 - number for number in range(300)}
    assert "12 of 300 classes, the commonest" in overview.class_bars(counts)
    assert " of " not in overview.class_bars({"a": 1, "b": 2})
    one = LedgerEntry(
        at=BEGAN, actor="a", action="register", model="m", version="1", previous=None, reason=""
    )
    entries = [one] * 30
    assert "20 of 30 lines, the newest" in models.ledger_table(entries, most=20)
    assert " of " not in models.ledger_table(entries)
