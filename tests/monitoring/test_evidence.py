"""Evidence for the policy: the champion's windows out of their records, and rollouts that touched them."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from linnet.config import MonitoringConfig
from linnet.monitoring.evidence import MOST_WINDOWS, ServedChampion, gather_evidence
from linnet.monitoring.history import history_folder, keep
from linnet.monitoring.measure import measure_drift
from linnet.monitoring.performance import measure_performance
from linnet.monitoring.recent import Labelled, LabelledWindow
from linnet.records import DriftReport
from tests.monitoring.conftest import Serve, pictures, window_of

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)
NONE = LabelledWindow([])
CHAMPION = ServedChampion("tiny", "1", NOW - 9 * HOUR)


@pytest.fixture
def watched(champion: Path, serve: Serve, tmp_path: Path) -> DriftReport:
    """One window of dark images, looked at without labels."""
    log = serve(pictures(400, 3) // 3)
    config, window = MonitoringConfig(), tmp_path / "window"
    about = window_of(log, window)
    drift = measure_drift(window, champion, config, (), tmp_path / "drift")
    measure_performance(window, champion, log, drift, config, tmp_path / "performance")
    keep(about, window, tmp_path / "drift", tmp_path / "performance")
    return drift


def test_window_is_found_again_with_its_verdict(watched: DriftReport) -> None:
    labelled = LabelledWindow([Labelled("a", b"", "dark", NOW)] * 7, ("2 label(s) are lost",))
    found = gather_evidence(CHAMPION, (), labelled)
    (window,) = found.windows
    assert window.violates and window.version == "1" and not window.rollout
    assert (window.start, window.end) == (watched.window.start, watched.window.end)
    assert window.reasons == tuple(watched.reasons) and window.reasons
    assert window.accuracy is None and window.loss is None, "no labels came, and the estimate does not hold"
    assert (found.new_labels, found.label_notes) == (7, labelled.notes)
    assert found.trained_until == CHAMPION.registered_at
    assert Path(found.facts["drift_report"]).name == "drift.json"


@pytest.mark.parametrize(
    ("begin", "end", "touched", "active"),
    [
        (-3.0, -2.0, False, False),  # before the window, which is of the last hour
        (-3.0, -0.5, True, False),
        (-0.5, -0.4, True, False),
        (-0.5, None, True, True),
        (0.5, None, False, True),
    ],
)
def test_rollouts_that_touched_a_window_mark_it(
    watched: DriftReport, begin: float, end: float | None, touched: bool, active: bool
) -> None:
    span = (NOW + begin * HOUR, None if end is None else NOW + end * HOUR)
    found = gather_evidence(CHAMPION, (span,), NONE)
    assert (found.windows[0].rollout, found.rollout_active) == (touched, active)


def test_window_with_too_little_for_a_verdict_says_nothing(watched: DriftReport) -> None:
    (folder,) = history_folder("tiny", "1").iterdir()
    watched.model_copy(update={"verdict": "insufficient"}).save(folder / "drift.json")
    assert gather_evidence(CHAMPION, (), NONE).windows == ()


def test_quiet_weekend_pushes_no_drift_out_of_sight(watched: DriftReport) -> None:
    """Only the newest 50 windows were looked at, and thin ones were among them."""
    folder = history_folder("tiny", "1")
    thin = watched.model_copy(update={"verdict": "insufficient"})
    for number in range(MOST_WINDOWS + 10):
        thin.save(folder / f"9{number:03}" / "drift.json")  # sorts after the window of today
    found = gather_evidence(CHAMPION, (), NONE)
    assert [window.violates for window in found.windows] == [True]
    assert found.thin_windows == MOST_WINDOWS + 10


def test_other_versions_windows_are_not_the_champions(watched: DriftReport) -> None:
    assert gather_evidence(ServedChampion("tiny", "2", NOW), (), NONE).windows == ()
    assert gather_evidence(ServedChampion("tiny", None, None), (), NONE).champion is None


@pytest.mark.parametrize("name", ["drift.json", "performance.json"])
def test_damaged_window_hides_no_other_and_is_counted(
    watched: DriftReport, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One damaged record of one window, and no retraining was decided any more."""
    (folder,) = history_folder("tiny", "1").iterdir()
    shutil.copytree(folder, folder.with_name("20200101T000000"))
    (folder.with_name("20200101T000000") / name).write_text("{")
    found = gather_evidence(CHAMPION, (), NONE)
    assert len(found.windows) == 1 and (found.thin_windows, found.unread_windows) == (0, 1)
    assert f"20200101T000000/{name}" in caplog.text


def test_missing_record_is_no_error(watched: DriftReport) -> None:
    (folder,) = history_folder("tiny", "1").iterdir()
    (folder / "performance.json").unlink()
    assert gather_evidence(CHAMPION, (), NONE).windows[0].labelled == 0


def test_labels_that_come_after_a_window_closed_tell_what_was_lost(watched: DriftReport) -> None:
    """The window was judged without labels; people answered about its images later."""
    start = watched.window.start
    scores = [(start + timedelta(seconds=k), float(k % 2)) for k in range(100)]
    before = [(start - HOUR, 1.0)] * 500
    found = gather_evidence(CHAMPION, (), LabelledWindow([], scores=(*before, *scores)))
    assert found.windows[0].loss is None and found.recent_labelled == 100
    assert found.recent_loss is not None and found.recent_loss.low > 0.3, "half of them were right"
    few = gather_evidence(CHAMPION, (), LabelledWindow([], scores=tuple(scores[:20])))
    assert few.recent_loss is None and few.recent_labelled == 20


@pytest.mark.parametrize("name", ["drift.json", "performance.json"])
def test_loss_is_measured_by_the_newest_window_that_can_be_read(watched: DriftReport, name: str) -> None:
    """A damaged newest one was tolerated, then read again: retraining was refused until the next window."""
    (folder,) = history_folder("tiny", "1").iterdir()
    start = watched.window.start
    scores = tuple((start + timedelta(seconds=k), float(k % 2)) for k in range(100))
    expected = gather_evidence(CHAMPION, (), LabelledWindow([], scores=scores)).recent_loss
    shutil.copytree(folder, folder.with_name("20990101T000000"))
    (folder.with_name("20990101T000000") / name).write_text("{")
    found = gather_evidence(CHAMPION, (), LabelledWindow([], scores=scores))
    assert found.recent_loss == expected is not None and found.unread_windows == 1


def test_nothing_is_lost_where_nothing_drifts(watched: DriftReport) -> None:
    (folder,) = history_folder("tiny", "1").iterdir()
    watched.model_copy(update={"verdict": "stable"}).save(folder / "drift.json")
    scores = ((watched.window.start, 0.0),) * 100
    found = gather_evidence(CHAMPION, (), LabelledWindow([], scores=scores))
    assert found.recent_loss is None and found.recent_labelled == 0
