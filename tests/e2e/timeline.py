"""The course of a retraining loop, from what it left behind, and its picture."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from linnet.artifacts.onnx_model import Images
from linnet.errors import LinnetError, ServingError
from linnet.monitoring.simulate import ImagePool, Kind, drifted, play
from linnet.serving.client import ServerClient
from linnet.vision.decode import encode_png
from tests.e2e.use_case import UseCase

STAGES = ("validate", "build_features", "train", "evaluate", "package", "release")
_COLORS = {"drift": "#d9480f", "stable": "#2b8a3e", "insufficient": "#868e96"}


@dataclass
class Traffic:
    """Users: a stream that never stops until it is told to, with the labels that come for it."""

    case: UseCase
    pool: ImagePool
    rate: int
    count: int
    """Requests at a time, after which their labels come."""
    kinds: tuple[Kind, ...] = ("blur",)
    severity: float = 0.0
    answers: list[tuple[float, float, float]] = field(default_factory=list)
    """From, to, and the share that was classified correctly."""
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def accuracy(self, begin: float, end: float) -> float:
        """Of the stretches that lie in it."""
        inside = [share for start, stop, share in self.answers if begin <= start and stop <= end]
        return sum(inside) / len(inside)

    def _run(self) -> None:
        client = ServerClient.from_state(self.case.state / "serving" / "server.json")

        def ask(image: Images) -> tuple[str, str]:
            answer = _answer(client, "/predict", encode_png(image), {"Content-Type": "image/png"})
            return answer["request_id"], answer["predictions"][0]["class"]

        number = 0
        while not self._over.is_set():
            number += 1
            began = time.time()
            stream = drifted(self.pool, self.kinds, self.severity, self.count, number)
            sent = play(stream, ask, self.rate, self.count)
            self.answers.append((began, time.time(), sent.right / max(sent.answered, 1)))
            self.problems += [sent.problem] if sent.problem else []
            labels = [{"request_id": name, "label": label} for name, label in sent.labels]
            try:
                _answer(client, "/feedback", json.dumps({"labels": labels}).encode())
            except LinnetError as error:
                self.problems.append(str(error))


def _answer(client: ServerClient, path: str, body: bytes, headers: dict[str, str] | None = None) -> Any:
    status, _, said = client.request("POST", path, body, headers or {})
    if status >= 400:
        raise ServingError(f"{path}: status {status}: {said!r}")
    return json.loads(said)


@dataclass
class Course:
    """What is known of a loop: verdicts, decisions, and the runs with their steps."""

    case: UseCase
    model: str

    @property
    def ledger(self) -> list[dict[str, Any]]:
        """Lines of the retraining ledger."""
        file = self.case.state / "ledger" / f"retraining-{self.model}.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        return [json.loads(line)["entry"] for line in lines]

    def decisions(self) -> list[dict[str, Any]]:
        return [entry["decision"] for entry in self.ledger if entry["kind"] == "decision"]

    def windows(self) -> list[tuple[float, float, str, str]]:
        """From, to, version and verdict."""
        reports = self.case.state.glob(f"monitoring/{self.model}/*/*/drift.json")
        found = [json.loads(path.read_text()) for path in reports]
        return sorted(
            (seconds(r["window"]["start"]), seconds(r["window"]["end"]), r["window"]["version"], r["verdict"])
            for r in found
        )

    def champion(self) -> str:
        return next((v["version"] for v in self.case.versions() if "champion" in v["aliases"]), "")

    def training_runs(self) -> list[tuple[dict[str, Any], dict[str, dict[str, Any]]]]:
        """Record and steps of every training run, the oldest first."""
        records = [(self.case.record(run), self.case.stages(run)) for run in self.case.runs()]
        return [both for both in records if both[0]["pipeline"] == "training"]


def seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def draw(course: Course, traffic: Traffic, drift_began: float, title: str, path: Path) -> None:
    """The timeline: accuracy that users got, windows with their verdicts, decisions, and the run's steps."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    def at(moment: float) -> float:
        return moment - drift_began

    figure, (top, below) = plt.subplots(
        2, 1, figsize=(12, 6.4), sharex=True, height_ratios=(3, 1.7), layout="constrained"
    )
    for number, (start, end, share) in enumerate(traffic.answers):
        label = "answers of some seconds" if number == 0 else None
        top.plot([at(start), at(end)], [share, share], color="#1c7ed6", lw=3, label=label)
    top.axvline(0, color="#495057", ls=":", lw=1.5)
    top.text(0, 1.02, "the light fails,\nthe lens blurs", ha="center", fontsize=9)
    top.set(ylabel="accuracy that users got", ylim=(0, 1), title=title)
    top.title.set_position((0.5, 1.12))
    for start, end, version, verdict in course.windows():
        below.barh(3, at(end) - at(start), left=at(start), color=_COLORS[verdict], ec="white", height=0.8)
        below.text(at((start + end) / 2), 3, f"{verdict}\n(v{version})", ha="center", va="center", fontsize=7)
    for decision in course.decisions():
        yes = decision["request"]
        moment = at(seconds(decision["at"]))
        below.plot(moment, 2, "^" if yes else "x", color="#d9480f" if yes else "#868e96", ms=10 if yes else 7)
        if yes:
            below.text(moment, 2.25, "the policy asks for a run", ha="center", fontsize=8)
    stages = course.training_runs()[-1][1]
    for number, name in enumerate(STAGES):
        begin = at(seconds(stages[name]["started_at"]))
        below.barh(1 - number % 2 * 0.5, stages[name]["seconds"], left=begin, height=0.42, color="#74c0fc")
        below.text(begin, 1 - number % 2 * 0.5, f" {name}", va="center", fontsize=7)
    promoted = at(seconds(stages["release"]["started_at"]) + stages["release"]["seconds"])
    top.axvline(promoted, color="#2b8a3e", ls=":", lw=1.5)
    top.text(promoted, 1.02, "the new champion\nhas all traffic", ha="center", fontsize=9)
    top.legend(loc="lower right")
    below.set(yticks=(3, 2, 0.75), yticklabels=("windows", "decisions", "training run"), ylim=(0.1, 3.6))
    below.set_xlabel("seconds since the drift began")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
