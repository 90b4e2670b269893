from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from linnet.config import ReleaseConfig
from linnet.deployment.first_release import FirstReleaseBaseline
from linnet.deployment.page import render
from linnet.deployment.rollout import Candidate, Rollout
from tests.doubles.rollout_target import Behavior, SimulatedTarget

CONFIG = ReleaseConfig(
    min_step_seconds=0.0, check_interval_seconds=0.001, deadline_seconds=20.0, max_error_increase=0.02,
    max_accuracy_drop=0.1, max_latency_ratio=2.0,
)  # fmt: skip


class Elements(HTMLParser):
    """Counts elements and collects the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1

    def handle_data(self, data: str) -> None:
        self.text += data


def page(folder: Path, behavior: Behavior, champion: str | None = "1", model: str = "shop") -> str:
    target = SimulatedTarget(champion, {"1": Behavior(), "2": behavior})
    candidate = Candidate(model, "2", folder)
    reference = FirstReleaseBaseline(4.0, 0.93, 1000)
    rollout = Rollout(target, candidate, CONFIG, target.outcomes, folder / "state.json", reference)
    return render(rollout.run(), rollout.looks)


@pytest.mark.parametrize(
    ("behavior", "title"), [(Behavior(), "Promoted"), (Behavior(error_rate=0.2), "Rolled back")]
)
def test_page_says_how_it_ended_and_plots_every_metric(
    tmp_path: Path, behavior: Behavior, title: str
) -> None:
    elements = Elements(page(tmp_path, behavior))
    assert elements.counts["h1"] == 1 and title in elements.text
    assert elements.counts["svg"] == 10  # the share of traffic and nine metrics
    assert elements.counts["circle"] == 10


def test_page_of_a_candidate_that_never_started_has_no_plot(tmp_path: Path) -> None:
    elements = Elements(page(tmp_path, Behavior(loads=False)))
    assert "svg" not in elements.counts
    assert "cannot be loaded" in elements.text


def test_page_of_a_first_release_shows_absolute_values(tmp_path: Path) -> None:
    elements = Elements(page(tmp_path, Behavior(), champion=None))
    assert "with no champion before it" in elements.text
    assert elements.counts["svg"] == 4


def test_page_is_self_contained_escaped_and_follows_the_color_scheme(tmp_path: Path) -> None:
    text = page(tmp_path, Behavior(), model="<script>alert(1)</script>")
    assert not re.search(r"<script|https?://|src=|@import", text)
    assert "prefers-color-scheme:dark" in text


def test_page_has_only_finite_coordinates(tmp_path: Path) -> None:
    text = page(tmp_path, Behavior(slowness=10.0))
    plots = "".join(re.findall(r"<svg.*?</svg>", text))
    assert plots
    assert not re.search(r"[\s,'=](nan|-?inf)[\s,']", plots)
