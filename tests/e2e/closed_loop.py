"""A use case lived through hour by hour, on a clock that a test moves: traffic, questions, the curve."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from linnet.labels.local_label_studio import Studio
from linnet.monitoring.simulate import ImagePool, Kind, drifted
from linnet.records import TrainingSetManifest
from linnet.serving.client import ServerClient
from linnet.vision.decode import encode_png, sample_id
from tests.clock import Clock
from tests.e2e.label_lab import ENVIRONMENT, People, keep_empty, take_empty
from tests.e2e.timeline import Course
from tests.e2e.use_case import UseCase

HOUR, MINUTE = 3600.0, 60.0
PER_MINUTE = 10
"""Requests: enough for a window of an hour, and fewer than the sample of images takes."""
_COLORS = {"drift": "#d9480f", "stable": "#2b8a3e", "insufficient": "#868e96"}


@dataclass
class Loop:
    """One model and all around it. Nothing of it knows that the hours are short."""

    case: UseCase
    clock: Clock
    hours: list[tuple[float, float, str]] = field(default_factory=list)
    """When each hour of traffic began, the share that was answered rightly, and by which version."""
    truth: dict[str, str] = field(default_factory=dict)
    """What each sent image shows, by sample id."""

    def run(self, *words: str, timeout: float = 900) -> str:
        """`linnet WORDS`, which must do well; what it said."""
        done = self.case.linnet(*words, timeout=timeout)
        assert done.returncode == 0, f"linnet {' '.join(words)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def start_label_studio(self) -> People:
        """By the command that users give; its environment is that of the checkout, where there is one."""
        home = self.case.state / "label-studio"
        home.mkdir(parents=True)
        take_empty(home)
        ENVIRONMENT.parent.mkdir(parents=True, exist_ok=True)
        ENVIRONMENT.mkdir(exist_ok=True)
        (home / "venv").symlink_to(ENVIRONMENT)
        self.run("labels", "up", timeout=1800)
        keep_empty(home)
        server = Studio.read(home / "server.json")
        assert server is not None
        return People(server)

    def unseen(self) -> ImagePool:
        """The production split of the first run, in which nothing was trained."""
        folder = self.case.state / "latest/build-features/training_set"
        classes = TrainingSetManifest.load(folder / "training_set.json").classes
        images, labels = (np.load(folder / f"{kind}-production.npy") for kind in ("images", "labels"))
        return ImagePool(images, labels, classes)

    def traffic(self, pool: ImagePool, kinds: Sequence[Kind], severity: float) -> float:
        """The rest of this hour and the next: a window; the share of right answers.

        Ends when the window may be judged.
        """
        begin = (self.clock.now() // HOUR + 1) * HOUR
        self.clock.move_to(begin)
        client = ServerClient.from_state(self.case.state / "serving" / "server.json")
        stream = drifted(pool, kinds, severity, round(HOUR / MINUTE) * PER_MINUTE, seed=len(self.hours))
        right, versions = 0, set()

        def ask(one: tuple[Any, str]) -> tuple[bool, str]:
            status, _, said = client.request("POST", "/predict", one[0], {"Content-Type": "image/png"})
            assert status == 200, said
            answer = json.loads(said)
            return answer["predictions"][0]["class"] == one[1], answer["version"]

        with ThreadPoolExecutor(2) as senders:
            for minute in range(round(HOUR / MINUTE)):
                self.clock.move_to(begin + minute * MINUTE)
                sent = [next(stream) for _ in range(PER_MINUTE)]
                self.truth |= {sample_id(image): label for image, label in sent}
                for fits, version in senders.map(ask, [(encode_png(image), label) for image, label in sent]):
                    right += fits
                    versions.add(version)
                time.sleep(0.05)
        share = right / (HOUR / MINUTE * PER_MINUTE)
        self.hours.append((begin, share, "+".join(sorted(versions))))
        time.sleep(1.5)  # what is served is written down within a second
        self.clock.move_to(begin + HOUR + 2.2 * MINUTE)
        return share

    def open_questions(self, people: People, title: str) -> dict[int, str]:
        """Tasks about what users sent that nobody answered: task id and sample id."""
        tasks = [(task["id"], task["meta"]["linnet"].partition(":")[2], task) for task in people.tasks(title)]
        return {
            number: sample
            for number, sample, task in tasks
            if sample in self.truth and not task["is_labeled"]
        }

    def answer(self, people: People, title: str, wrong: float, seed: int = 0) -> int:
        """A person answers every open question about what users sent, sometimes wrongly; how many."""
        draw, classes = random.Random(seed), sorted(set(self.truth.values()))
        answers = {}
        for task, sample in self.open_questions(people, title).items():
            truth = self.truth[sample]
            others = [name for name in classes if name != truth]
            answers[task] = draw.choice(others) if draw.random() < wrong else truth
        people.answer("ann", answers)
        return len(answers)


def wait_for(what: Callable[[], Any], seconds: float, otherwise: Callable[[], object]) -> Any:
    """The first true answer."""
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until, otherwise()
        time.sleep(0.5)
    return found


def draw_curve(
    loop: Loop, course: Course, marks: Sequence[tuple[float, str]], title: str, file: Path
) -> None:
    """The accuracy of each hour by the version that answered, the verdicts, and what happened in between."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    zero = loop.hours[0][0]
    figure, (top, below) = plt.subplots(
        2, 1, figsize=(11, 5.6), sharex=True, height_ratios=(4, 1), layout="constrained"
    )
    for version, color in (("1", "#1c7ed6"), ("2", "#2b8a3e")):
        own = [((at - zero) / HOUR, share) for at, share, by in loop.hours if by == version]
        for number, (start, share) in enumerate(own):
            top.plot([start, start + 1], [share, share], color=color, lw=4,
                     label=f"version {version}" if not number else None)  # fmt: skip
    for number, (at, text) in enumerate(marks):
        hour = (at - zero) / HOUR
        top.axvline(hour, color="#495057", ls=":", lw=1.2)
        top.text(hour, 0.04 + number % 3 * 0.11, f" {text}", fontsize=8)
    top.set(ylabel="share of right answers", ylim=(0, 1), title=title)
    top.legend(loc="upper right")
    for start, end, _, verdict in course.windows():
        begin, length = (start - zero) / HOUR, (end - start) / HOUR
        if begin >= 0:
            below.barh(0, length, left=begin, color=_COLORS[verdict], ec="white")
            below.text(begin + length / 2, 0, verdict, ha="center", va="center", fontsize=7)
    below.set(yticks=(0,), yticklabels=("windows",), xlabel="hours")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=100)
    plt.close(figure)
