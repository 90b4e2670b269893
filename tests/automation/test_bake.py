"""A new champion on trial, by a real prediction log: what is rolled back, what stays, and what is told."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from linnet.alerting.rules import rule_groups
from linnet.automation import bake
from linnet.automation.bake import PromotionWatch
from linnet.automation.metrics import exposition
from linnet.config import Config, RegistryConfig, ReleaseConfig
from linnet.config import ServiceLevelsConfig as Levels
from linnet.console.views import release as view
from linnet.deployment.bake_report import bake_file, bake_report, bake_sentence
from linnet.errors import PromotionConflict, ServingError
from linnet.records import BakeReport, GateDecision, RolloutDecision, now
from linnet.registry.champion import ModelRegistry
from linnet.registry.promotion import rolled_back_at
from linnet.registry.protocol import Submission
from linnet.run.model_config import ModelConfig
from linnet.serving.champion_traffic import ServerTraffic
from linnet.serving.log import LogEntry, PredictionLog
from linnet.serving.predictor import Predictor
from linnet.storage.paths import prediction_log_dir, server_state_file
from tests.doubles.registry import MemoryRegistry
from tests.packaging.folders import make_folders
from tests.registry.test_traffic_follows import StubbornTraffic
from tests.serving.packages import CLASSES, Broken, make_package
from tests.serving.running import png, running

pytestmark = pytest.mark.filterwarnings("ignore")
LEVELS = np.linspace(10, 250, 40).astype(np.uint8)


def label_of(level: int) -> str:
    """What people say of a gray level: as the tiny model does."""
    return CLASSES[min(int(level / 256 * len(CLASSES)), len(CLASSES) - 1)]


class Stage:
    """tiny: version 1, and version 2 that its canary made champion an hour ago."""

    def __init__(
        self,
        folder: Path,
        patch: pytest.MonkeyPatch,
        broken: Broken | None,
        release: ReleaseConfig | None = None,
    ) -> None:
        steps = make_folders(folder / "steps")
        self.packages = {
            version: make_package(folder / version, sharpness=sharp, broken=wrong)
            for version, sharp, wrong in (("1", 40.0, None), ("2", 60.0, broken))
        }
        self.traffic = StubbornTraffic()
        self.server_state: Path | None = None
        """Of the real server, where one runs."""
        self.registry = ModelRegistry(MemoryRegistry(), "ada@lab", traffic=self.traffic)
        for package in self.packages.values():
            GateDecision(stage="package", verdict="pass", gates=()).save(package / "gates.json")
            self.registry.register(
                Submission(
                    model="tiny", package=package, evaluation=steps.evaluation, training=steps.model,
                    config={}, tags={"gate_verdict": "pass"},
                )
            )  # fmt: skip
        self.registry.promote("tiny", "1", None, override="the first")
        self.promote("2", "1")
        config = Config(
            name="tiny", release=release or ReleaseConfig(), registry=RegistryConfig(model="tiny")
        )
        patch.setattr(bake, "model_config", lambda _: ModelConfig(config, "here"))
        patch.setattr(bake, "connect", self.connected)
        self.watch = PromotionWatch()

    def connected(self, _: RegistryConfig, actor: str, traffic: ServerTraffic) -> ModelRegistry:
        """As `connect`, with the traffic that this stage has."""
        chosen = self.traffic if self.server_state is None else traffic
        return ModelRegistry(self.registry.store, actor, traffic=chosen)

    def promote(self, version: str, champion: str) -> None:
        decision = RolloutDecision(
            model="tiny", version=version, champion=champion, verdict="promote", steps=(), reason="proven",
            started_at=now(), ended_at=now(),
        )  # fmt: skip
        self.registry.promote("tiny", version, champion, decision)
        self.promoted_at = self.registry.ledger.entries("tiny")[-1].at

    def serve(
        self, version: str, count: int, hours: float, *, failed: int = 0, labelled: bool = True
    ) -> None:
        """Requests that a version answered so many hours after the promotion, and their labels."""
        predictor = Predictor.load(version, self.packages[version], 1)
        log = PredictionLog(prediction_log_dir(), 1_000_000, 1.0)
        log.start()
        moment = (self.promoted_at + timedelta(hours=hours)).timestamp()
        told = []
        for number in range(count):
            level = int(LEVELS[number % len(LEVELS)])
            request = f"{version}-{hours}-{number}"
            prediction = predictor.predict(np.full((1, 8, 8, 1), level, np.uint8), None)
            log.offer(LogEntry(request, moment, "tiny", version, predictor.answer, 1.5, prediction, None))
            at = datetime.fromtimestamp(moment + 60, UTC).isoformat()
            told.append(json.dumps({"request_id": request, "label": label_of(level), "at": at}))
        for number in range(failed):
            request = f"{version}-{hours}-failed-{number}"
            log.offer(LogEntry(request, moment, "tiny", version, predictor.answer, 1.5, None, "broken"))
        log.close()
        if labelled:
            with (prediction_log_dir() / "feedback-people.jsonl").open("a") as file:
                file.write("\n".join(told) + "\n")

    def serve_again(self, request: str, level: int, at: float, blocks: int = 0) -> None:
        """A request of this id that version 2 answered so many hours after the promotion."""
        predictor = Predictor.load("2", self.packages["2"], 1)
        log = PredictionLog(prediction_log_dir(), 1_000_000, 1.0, blocks)
        log.start()
        pixels = np.full((1, 8, 8, 1), level, np.uint8)
        pixels[0, 0, 0] -= 1  # one level alone is pixelated to itself
        moment = (self.promoted_at + timedelta(hours=at)).timestamp()
        prediction = predictor.predict(pixels, None)
        log.offer(LogEntry(request, moment, "tiny", "2", predictor.answer, 1.5, prediction, None))
        log.close()

    def label(self, request: str, label: str, at: float) -> None:
        moment = (self.promoted_at + timedelta(hours=at)).isoformat()
        with (prediction_log_dir() / "feedback-people.jsonl").open("a") as file:
            file.write(json.dumps({"request_id": request, "label": label, "at": moment}) + "\n")

    def look(self) -> BakeReport:
        self.watch.judge_all()
        report = bake_report("tiny")
        assert report is not None
        return report

    @property
    def champion(self) -> str:
        found = self.registry.champion("tiny")
        assert found is not None
        return found.version


Staged = Callable[..., Stage]


@pytest.fixture
def staged(tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> Staged:
    return lambda broken=None, release=None: Stage(tmp_path, monkeypatch, broken, release)


def test_champion_that_labels_prove_worse_is_rolled_back_for_good(staged: Staged) -> None:
    stage = staged("permuted")
    stage.serve("1", 300, -1.0)
    stage.serve("2", 300, 0.01)
    report = stage.look()
    assert (report.verdict, stage.champion, stage.traffic.champion) == ("rollback", "1", "1"), report.reason
    assert report.same_images == 300, "the last champion was asked about the very same images"
    line = stage.registry.ledger.entries("tiny")[-1]
    assert line.action == "rollback" and line.actor == bake.ACTOR and "accuracy" in line.reason
    assert line.evidence["verdicts"]["accuracy"] == "bad"
    assert "was rolled back" in stage.registry.blocked("tiny", "2"), "it does not come back by itself"
    assert rolled_back_at(stage.registry.ledger.entries("tiny")) == line.at
    before = bake_file("tiny").read_bytes()
    stage.watch.judge_all()
    assert bake_file("tiny").read_bytes() == before, (
        "it is over, and the champion that came back is not on trial"
    )


def test_late_labels_roll_back_what_was_served_long_ago(staged: Staged) -> None:
    stage = staged("permuted")
    stage.serve("1", 120, -1.0)
    stage.serve("2", 200, 0.5, labelled=False)
    stage.watch.clock = lambda: stage.promoted_at + timedelta(days=5)
    assert stage.look().verdict == "baking", "its time is over, and labels may still come"
    stage.serve("2", 200, 0.6)
    report = stage.look()
    assert (report.verdict, stage.champion) == ("rollback", "1"), report.reason
    assert report.ends_at < report.at < report.labels_until


def test_failing_champion_is_rolled_back_without_labels(staged: Staged) -> None:
    stage = staged()
    stage.serve("1", 400, -1.0, labelled=False)
    stage.serve("2", 200, 0.01, failed=40, labelled=False)
    report = stage.look()
    assert (report.verdict, stage.champion) == ("rollback", "1")
    assert "errors 16.67% of 240 against 0.00% of 400" in report.reason


def test_failures_after_the_most_images_are_counted(staged: Staged) -> None:
    """What a busy service failed after its first `bake_images` rows was judged by nobody."""
    stage = staged(release=ReleaseConfig(bake_images=100))
    stage.serve("1", 400, -1.0)
    stage.serve("2", 100, 0.01)
    assert stage.look().verdict == "baking"
    stage.serve("2", 60, 0.02, failed=60)
    report = stage.look()
    assert (report.verdict, stage.champion) == ("rollback", "1"), report.reason
    assert "of 220 against 0.00% of 400" in report.reason and report.labelled == 160


def test_labels_of_answers_after_the_most_images_count_and_the_sentence_says_what_does_not(
    staged: Staged,
) -> None:
    """A service of one request a second had the labels of half of its trial counted, the first half's."""
    stage = staged("permuted", ReleaseConfig(bake_images=100))
    stage.serve("1", 120, -1.0, labelled=False)
    stage.serve("2", 120, 0.01, labelled=False)
    assert stage.look().labelled == 0
    stage.serve("2", 180, 0.02)
    report = stage.look()
    assert (report.labelled, report.same_images) == (180, 100)
    assert "80 labelled images were not shown to the last champion: 100 were" in bake_sentence(report)
    assert report.verdict == "rollback", "by labels that were not counted before"


def test_label_counts_for_the_image_that_its_request_named_when_it_came(staged: Staged) -> None:
    stage = staged()
    stage.serve_again("again", 20, at=0.01)
    stage.label("again", label_of(20), at=0.02)
    stage.serve_again("again", 240, at=0.03)
    stage.label("again", label_of(240), at=0.04)
    report = stage.look()
    assert (report.labelled, report.same_images) == (2, 2)
    accuracy = next(one for one in report.judgements if one.metric == "accuracy")
    assert accuracy.candidate == 1.0, "the first label was held against the second image"
    assert "1 labelled request id(s) name different images" in bake_sentence(report)
    stage.label("again", label_of(20), at=0.05)
    report = stage.look()
    assert report.labelled == 2 and "1 label(s) were corrected after" in bake_sentence(report)


def test_what_a_label_cannot_be_counted_for_is_told(staged: Staged) -> None:
    stage = staged()
    stage.serve_again("new", 20, at=0.01)
    stage.label("new", "of tomorrow", at=0.02)
    stage.serve_again("pixelated", 20, at=0.01, blocks=4)
    stage.label("pixelated", label_of(20), at=0.02)
    (prediction_log_dir() / "served-20260101T000000-1-000001.parquet").write_bytes(b"damaged")
    (prediction_log_dir() / "feedback-people.csv").write_text("request_id")
    (prediction_log_dir() / "elsewhere").symlink_to("elsewhere")
    report = stage.look()
    told = bake_sentence(report)
    assert "1 labels of classes that the model does not know are not counted" in told
    assert "1 labelled images could not be shown to the last champion" in told
    assert "1 file(s) of the log cannot be read, such as feedback-people.csv" in told, told
    assert (report.labelled, report.same_images) == (1, 0)


def test_sound_champion_stays_and_its_trial_ends(staged: Staged) -> None:
    stage = staged()
    stage.serve("1", 200, -1.0)
    stage.serve("2", 200, 1.0)
    assert stage.look().verdict == "baking"
    stage.watch.clock = lambda: stage.promoted_at + timedelta(days=9)
    report = stage.look()
    assert (report.verdict, stage.champion, report.images, report.labelled) == ("kept", "2", 200, 200)


def test_rows_that_come_later_are_added_and_each_counts_once(staged: Staged) -> None:
    stage = staged()
    for part in (1, 2, 3):
        stage.serve("2", 40, part / 100)
        report = stage.look()
        assert (report.verdict, report.images, report.labelled) == ("baking", 40 * part, 40 * part)
        assert stage.look().images == 40 * part


def test_what_cannot_be_rolled_back_is_told_and_tried_again(staged: Staged) -> None:
    stage = staged()
    stage.serve("1", 400, -1.0)
    stage.serve("2", 200, 0.01, failed=60)
    stage.traffic.refused = "1"
    report = stage.look()
    assert (report.verdict, stage.champion) == ("baking", "2")
    assert "could not be rolled back: version 1 cannot be loaded" in bake_sentence(report)
    stage.traffic.refused = ""
    assert (stage.look().verdict, stage.champion) == ("rollback", "1")


def test_champion_moved_by_somebody_ends_the_trial(staged: Staged) -> None:
    stage = staged("permuted")
    stage.serve("2", 300, 0.01)
    with pytest.raises(PromotionConflict):
        stage.registry.rollback("tiny", "why", expected="1")
    stage.registry.rollback("tiny", "complaints")
    stage.watch.judge_all()
    assert bake_report("tiny") is None and len(stage.registry.ledger.entries("tiny")) == 5


def test_no_trial_where_none_is_wanted(staged: Staged) -> None:
    stage = staged("permuted", ReleaseConfig(bake_hours=0.0))
    stage.serve("2", 300, 0.01)
    stage.watch.judge_all()
    assert bake_report("tiny") is None and stage.champion == "2"


def test_promotion_by_a_person_is_not_judged(staged: Staged) -> None:
    stage = staged("permuted")
    stage.registry.rollback("tiny", "a try")
    stage.registry.promote("tiny", "2", "1", override="I looked at it")
    stage.serve("2", 300, 0.01)
    stage.watch.judge_all()
    assert stage.champion == "2" and bake_report("tiny") is None


def test_problem_of_one_model_is_told_once(staged: Staged, capsys: pytest.CaptureFixture[str]) -> None:
    stage = staged()
    shutil.rmtree(stage.packages["1"])
    stage.watch.judge_all()
    stage.watch.judge_all()
    assert capsys.readouterr().out.count("tiny version 2 is not judged") == 1


def test_rollback_is_a_page_in_the_metrics_and_stands_in_the_console(
    staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = staged()
    monkeypatch.setattr("linnet.automation.metrics.connect", lambda _: stage.registry)
    assert 'linnet_bake_regressed_seconds{model="tiny",version="2"} 0.0' in exposition([]).decode()
    stage.serve("1", 400, -1.0)
    stage.serve("2", 200, 0.01, failed=60)
    report = stage.look()
    told = re.search(
        r'linnet_bake_regressed_seconds\{model="tiny",version="2"\} (\S+)', exposition([]).decode()
    )
    assert told is not None and float(told[1]) == report.at.timestamp()
    rules = [r for group in rule_groups("tiny", Levels())["groups"] for r in group["rules"]]
    alert = next(rule for rule in rules if rule.get("alert") == "LinnetRolledBack")
    assert alert["labels"]["severity"] == "page" and "linnet_bake_regressed_seconds" in alert["expr"]
    markup = view.trial(report)
    assert "rolled back" in markup and "errors" in markup and not view.trial(None)


@pytest.mark.slow
def test_real_server_gets_the_last_champion_back(staged: Staged) -> None:
    """Its canary saw bright images alone; from some moment on users send dark ones, on which it fails."""
    stage = staged("raising")
    stage.server_state = server_state_file()
    flags = ("--name", "tiny")
    with running(server_state_file().parent, stage.packages["2"], "2", *flags) as server:
        assert server.state_file == server_state_file() and server.log_dir == prediction_log_dir()
        client = server.client

        def asked(level: int, count: int) -> set[str]:
            seen = set()
            for _ in range(count):
                try:
                    seen.add(str(client.predict(png(level))["version"]))
                except ServingError:
                    seen.add("failed")
            return seen

        assert asked(200, 150) == {"2"}
        assert stage.look().verdict == "baking"
        assert asked(0, 60) == {"failed"}
        until = time.monotonic() + 60
        while stage.look().verdict == "baking" and time.monotonic() < until:
            time.sleep(0.5)
        report = bake_report("tiny")
        assert report is not None and report.verdict == "rollback", report
        assert "errors" in report.reason and stage.champion == "1"
        assert asked(0, 20) == {"1"}, "the server answers with the last champion, dark images too"
        assert client.routes()["champion"] == "1"
