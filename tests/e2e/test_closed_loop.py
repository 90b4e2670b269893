"""The circle with the shipped settings: drift, an alert, questions, answers, a run, a canary, recovery.

The real engine, server, Label Studio and Prometheus; a person's part is played by a script, and the clock is
moved, so that an hour of traffic takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from linnet.monitoring.simulate import Kind
from tests.clock import Clock
from tests.e2e.closed_loop import Loop, draw_curve, wait_for
from tests.e2e.test_retraining_loop import write_part_of_fashion
from tests.e2e.timeline import Course
from tests.e2e.use_case import CONFIG, UseCase, write_photos

SHIPPED = Path(__file__).parents[2] / "configs" / "fashion.toml"
SMALL = {
    'location = "data.dvc"': 'location = "images"',
    "production_fraction = 0.05": "production_fraction = 0.2",
    "epochs = 5": "epochs = 4",
    "width = 32": "width = 8",
    "min_accuracy = 0.92": "min_accuracy = 0.75",
    "min_macro_f1 = 0.92": "min_macro_f1 = 0.75",
    "min_worst_recall = 0.65": "min_worst_recall = 0.3",
    "max_ece = 0.03": "max_ece = 0.1\nmax_cohort_gap = 0.5",
    "min_auc = 0.98": "min_auc = 0.9\nmax_latency_p95_ms = 2000",
}
"""What makes the shipped config small: fewer images, and what so few can reach. All else is as shipped."""
BUSY = """
[release]
replay_rps = 60
max_latency_ratio = 20
median_floor_ms = 500
latency_floor_ms = 2000
first_release_latency_p95_ms = 2000
"""
"""What a machine that runs other tests beside cannot hold."""


@contextmanager
def living(folder: Path, name: str, config: str) -> Iterator[Loop]:
    """A folder with the config, and its end."""
    clock = Clock(folder, hours_ago=14.0)
    case = UseCase(folder / "shop", clock.environment)
    case.folder.mkdir(exist_ok=True)
    (case.folder / f"{name}.toml").write_text(config)
    loop = Loop(case, clock)
    try:
        yield loop
    finally:
        case.linnet("down")
        case.linnet("labels", "down")


@dataclass(frozen=True)
class Story:
    """What happens to a use case."""

    name: str
    kinds: tuple[Kind, ...]
    severity: float
    """Of the first hour that drifts; each one after it is a little worse, so that no image comes twice."""
    questions: int
    """As many as the settings want labels."""
    words: str


def close_the_circle(loop: Loop, story: Story, picture: Path, seconds: float) -> None:
    """Lives through it, and draws it. `seconds`: how long a training run may take."""
    course, marks, config = Course(loop.case, story.name), [], f"{story.name}.toml"
    loop.run("run", config)
    assert course.champion() == "1"
    loop.run("up", "--detach", "--config", config, "--port", "0", "--engine-port", "0", "--no-console")
    people = loop.start_label_studio()  # last of all: what is up takes notice
    people.invite("ann")
    pool = loop.unseen()

    def known() -> object:
        return course.windows(), course.ledger[-2:], loop.hours, course.training_runs()[-1]

    def hour(severity: float) -> str:
        """One more window; its verdict, once the policy has decided on it."""
        decided = len(course.decisions())
        loop.traffic(pool, story.kinds, severity)
        wait_for(lambda: len(course.decisions()) > decided, 240, known)
        return course.windows()[-1][3]

    keeper = loop.case.state / "keeper/keeper.log"
    wait_for(lambda: f"every window of {story.name} is judged" in keeper.read_text(), 120, known)
    assert hour(0.0) == "stable"
    marks.append((loop.clock.now(), story.words))
    for number in range(3):
        assert hour(story.severity + 0.02 * number) == "drift"
    asked = wait_for(lambda: [one for one in course.ledger if one["kind"] == "labels-asked"], 60, known)
    marks.append((loop.clock.now(), "people are asked"))
    print(asked[0]["reason"])
    title = f"Linnet {story.name}"
    wait_for(lambda: len(loop.open_questions(people, title)) >= story.questions, 240, known)
    assert loop.answer(people, title, wrong=0.03) == story.questions
    marks.append((loop.clock.now(), f"{story.questions} answers: a run"))
    wait_for(lambda: course.champion() == "2", seconds, known)
    marks.append((loop.clock.now(), "through the canary"))
    for number in range(2):
        hour(story.severity + 0.01 + 0.02 * number)
    before = [share for _, share, by in loop.hours[1:] if by == "1"]
    after = [share for _, share, by in loop.hours if by == "2"]
    words = f"{loop.hours[0][1]:.3f}, drifted {min(before):.3f}, after the retraining {min(after):.3f}"
    draw_curve(loop, course, marks, f"The shipped settings close the circle: accuracy {words}", picture)
    print(f"{words}; {picture}")
    assert len(after) == 2 and min(after) >= max(before) + 0.05, loop.hours
    assert len(course.training_runs()) == 2, "one run of the policy and the round together"


@pytest.mark.proof
@pytest.mark.timeout(900)
def test_drift_ends_in_a_better_model_of_some_photos(tmp_path: Path) -> None:
    """The whole circle around a model that trains in seconds; shipped settings, but for how many labels."""
    config = CONFIG.replace("[serving]\nport = 0\n", "") + "[retraining]\nmin_new_labels = 150\n"
    with living(tmp_path, "photos", config) as loop:
        write_photos(loop.case.folder / "photos", each=80)
        story = Story("photos", ("invert", "noise"), 0.9, 150, "negatives come")
        close_the_circle(loop, story, tmp_path / "loop.png", 400)


DIM = Story("fashion", ("blur", "darken"), 0.58, 500, "the light fails, the lens blurs")


@pytest.mark.proof
@pytest.mark.timeout(900)
def test_drift_ends_in_a_better_model_with_shipped_settings_and_few_images(tmp_path: Path) -> None:
    config = SHIPPED.read_text()
    for text, small in SMALL.items():
        assert config.count(text) == 1, text
        config = config.replace(text, small)
    with living(tmp_path, "fashion", config + BUSY) as loop:
        write_part_of_fashion(loop.case.folder / "images")
        close_the_circle(loop, DIM, tmp_path / "loop.png", 400)


@pytest.mark.proof
@pytest.mark.timeout(3600)
def test_drift_ends_in_a_better_model_with_the_shipped_config(tmp_path: Path) -> None:
    with living(tmp_path, "fashion", SHIPPED.read_text()) as loop:
        for name in ("data.dvc", ".dvc"):
            (loop.case.folder / name).symlink_to(SHIPPED.parents[1] / name)
        close_the_circle(loop, DIM, Path(".linnet/proof/closed-loop.png").resolve(), 1500)
