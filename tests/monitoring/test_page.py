"""The page: verdict, pictures, and nothing that a class name could inject."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from linnet.artifacts.reference import Reference
from linnet.commands.drift_show import show_drift
from linnet.config import MonitoringConfig
from linnet.errors import ConfigError
from linnet.monitoring import charts, evidently, page
from linnet.monitoring.measure import measure_drift
from linnet.monitoring.performance import _doubts, measure_performance
from linnet.monitoring.publish import publish
from linnet.monitoring.window import Rows
from linnet.records import CohortDrift, Interval
from tests.monitoring.conftest import Serve, pictures, window_of

CONFIG = MonitoringConfig(min_rows=200)


def published(champion: Path, log: Path, tmp: Path) -> tuple[Path, str]:
    window_of(log, tmp / "window", CONFIG)
    out = tmp / "out"
    drift = measure_drift(tmp / "window", champion, CONFIG, (), out)
    measure_performance(tmp / "window", champion, log, drift, CONFIG, out)
    kept = publish(tmp / "window", champion, [out], out, evidently=False)
    return kept, (kept / "report.html").read_text()


def test_page_of_a_drifted_window_shows_what_moved_and_how_it_looks(
    champion: Path, serve: Serve, tmp_path: Path
) -> None:
    kept, html = published(champion, serve((pictures(400, 3) * 0.5).astype(np.uint8)), tmp_path)
    assert "<h1>Drift: " in html and "brightness" in html
    assert html.count("data:image/png;base64,") >= 13, "images before and now"
    assert html.count('class="plot"') >= 3 and 'class="heatmap"' in html
    assert "unproven" in html
    assert {"window.json", "drift.json", "performance.json", "report.html"} <= {
        p.name for p in kept.iterdir()
    }
    assert not list(kept.glob("*.parquet")), "rows are not kept for ever"


def test_page_of_a_stable_and_of_a_small_window(champion: Path, serve: Serve, tmp_path: Path) -> None:
    assert "<h1>No drift</h1>" in published(champion, serve(pictures(300, 3)), tmp_path)[1]
    small = MonitoringConfig(min_rows=5000)
    window_of(tmp_path / "log", tmp_path / "window", small)
    report = measure_drift(tmp_path / "window", champion, small, (), tmp_path / "out")
    reference = Reference.load(champion)
    rows = Rows.load(tmp_path / "window", len(reference.features), len(reference.classes))
    assert "Too few images for a verdict" in page.render(report, page.PageData(reference, rows))


def test_sample_of_a_window_is_never_shown_as_the_whole(
    champion: Path, serve: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, log, folder = MonitoringConfig(max_rows=100, min_rows=50), serve(pictures(300, 3)), tmp_path / "w"
    told = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    answers = (f'{{"request_id": "r{k}", "label": "dark", "at": "{told}"}}\n' for k in range(300))
    (log / "feedback.jsonl").write_text("".join(answers))
    window_of(log, folder, config)
    drift = measure_drift(folder, champion, config, (), tmp_path)
    performance = measure_performance(folder, champion, log, drift, config, tmp_path)
    assert performance.labelled == 100, "of 300"
    show_drift(drift, performance, tmp_path / "report.html")
    told, reference = " ".join(capsys.readouterr().out.split()), Reference.load(champion)
    rows = Rows.load(folder, len(reference.features), len(reference.classes))
    for shown in (told, page.render(drift, page.PageData(reference, rows, performance))):
        assert "a sample of 100 of 300 images" in shown
        assert "labels of the other 200 images are not counted" in shown
    assert drift.window.model_copy(update={"rows": 300}).extent == "300 images"


def test_class_names_are_escaped(champion: Path, serve: Serve, tmp_path: Path) -> None:
    window_of(serve((pictures(300, 3) * 0.5).astype(np.uint8)), tmp_path / "window", CONFIG)
    report = measure_drift(tmp_path / "window", champion, CONFIG, (), tmp_path / "out")
    plain = Reference.load(champion)
    reference = replace(plain, classes=("<script>", *plain.classes[1:]))
    cohorts = tuple(c.model_copy(update={"value": "<script>"}) for c in report.cohorts)
    rows = Rows.load(tmp_path / "window", len(reference.features), len(reference.classes))
    html = page.render(report.model_copy(update={"cohorts": cohorts}), page.PageData(reference, rows))
    assert "<script" not in html and "&lt;script&gt;" in html


@pytest.mark.skipif(evidently.available(), reason="Evidently is installed")
def test_evidently_that_is_not_installed_is_one_error(champion: Path, serve: Serve, tmp_path: Path) -> None:
    window_of(serve(pictures(300, 3)), tmp_path / "window", CONFIG)
    reference = Reference.load(champion)
    rows = Rows.load(tmp_path / "window", len(reference.features), len(reference.classes))
    with pytest.raises(ConfigError, match=r"pip install 'linnet\[evidently\]'"):
        evidently.write_evidently(rows, reference, tmp_path)


@pytest.mark.skipif(not evidently.available(), reason="the extra `evidently` is not installed")
@pytest.mark.filterwarnings("ignore")
def test_evidently_writes_its_page(champion: Path, serve: Serve, tmp_path: Path) -> None:
    window_of(serve(pictures(300, 3)), tmp_path / "window", CONFIG)
    reference = Reference.load(champion)
    rows = Rows.load(tmp_path / "window", len(reference.features), len(reference.classes))
    assert "evidently" in evidently.write_evidently(rows, reference, tmp_path).read_text("utf-8").lower()


def cohort(
    name: str, value: str, effect: float = 0.01, drifted: bool = False, thin: bool = False
) -> CohortDrift:
    effects = {} if thin else {"brightness": effect}
    return CohortDrift(
        cohort=name, value=value, rows=500, share=0.1, reference_share=0.1, effect=effect, effects=effects,
        column="" if thin else "brightness", drifted=drifted,
    )  # fmt: skip


def test_cohorts_that_drifted_come_first_and_those_left_out_are_counted(
    champion: Path, serve: Serve, tmp_path: Path
) -> None:
    window_of(serve(pictures(300, 3)), tmp_path / "window", CONFIG)
    report = measure_drift(tmp_path / "window", champion, CONFIG, (), tmp_path / "out")
    reference = Reference.load(champion)
    rows = Rows.load(tmp_path / "window", len(reference.features), len(reference.classes))

    def shown(*cohorts: CohortDrift) -> str:
        changed = report.model_copy(update={"cohorts": cohorts, "verdict": "drift", "tests": report.tests})
        return page.render(changed, page.PageData(reference, rows))

    calm = [cohort("class", f"c{k}") for k in range(30)]
    thin = [cohort("city", f"x{k}", thin=True) for k in range(30)]
    html = shown(*thin, *calm, cohort("tenant", "acme", 0.9, drifted=True))
    assert "tenant=acme</text>" in html and "24 of 31 cohorts are shown" in html
    assert "30 more have too few images" in html and "city=x0" not in html
    html = shown(*(cohort("class", f"c{k}", 0.5 + k / 100, drifted=True) for k in range(30)))
    assert "24 of 30 cohorts are shown; 6 of the others drifted" in html
    assert "<h1>Drift within cohorts: class=c29 (brightness), class=c28 (brightness)" in html, "largest first"
    assert "class=c26 (brightness) and 26 more</h1>" in html
    many = report.model_copy(update={"cohorts": tuple(cohort("class", f"c{k}", 0.5, True) for k in range(9))})
    sure = Interval(value=0.9, low=0.8, high=1.0)
    doubts = _doubts(report.window, many, None, sure, lambda cohort: True)
    assert "class=c3 and 5 more are not like" in " ".join(doubts)
    html = shown(cohort("country", "de", 0.5, drifted=True), cohort("language", "de"))
    assert "country=de</text>" in html and "language=de</text>" in html and "cohorts are shown" not in html


@pytest.mark.parametrize(("count", "told"), [(12, False), (300, True)])
def test_class_mix_of_many_classes_says_how_many_it_shows(count: int, told: bool) -> None:
    shares = [1 / count] * count
    drawn = charts.class_mix([f"class {k}" for k in range(count)], shares, shares)
    assert drawn.count('class="name"') == 12 and ("the 12 of 300 classes" in drawn) == told
