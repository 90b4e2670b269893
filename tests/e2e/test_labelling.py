"""The whole labelling loop against a real Label Studio: a run asks, people answer, a run learns of it."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from linnet.errors import LabelServerError
from linnet.labels import local_label_studio
from linnet.labels.table import LabelTable
from linnet.records import now
from tests.e2e.label_lab import ENVIRONMENT, People, keep_empty, take_empty
from tests.e2e.use_case import COLORS, CONFIG, UseCase
from tests.labels.contract import check_contract, choice
from tests.labels.queue import fill

BUDGET = 200
LABELS = f"""
[labels]
budget = {BUDGET}
annotators = 2
"""
NOISE = {"ann": 0.10, "bob": 0.45, "cleo": 0.10}
"""How often each person is wrong: bob is careless; cleo is the third opinion."""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@dataclass
class Lab(People):
    """The people of one use case."""

    case: UseCase = field(kw_only=True)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    case = UseCase.of_photos(tmp_path_factory.mktemp("labelling"), each=110)
    (case.folder / "photos.toml").write_text(CONFIG + LABELS)
    before = os.environ.get("LINNET_HOME")
    os.environ["LINNET_HOME"] = str(case.state)
    try:
        server = _up()
    except LabelServerError as error:
        if "cannot be installed" in str(error):
            reason = f"Label Studio cannot be installed here: {error}"
            (pytest.fail if os.environ.get("LINNET_REQUIRE_DEBIAN") else pytest.skip)(reason)
        raise
    try:
        found = Lab(server, case=case)
        found.invite(*NOISE)
        yield found
    finally:
        local_label_studio.stop(server)
        if before is None:
            del os.environ["LINNET_HOME"]
        else:
            os.environ["LINNET_HOME"] = before


def _up() -> local_label_studio.Studio:
    """A server without projects; its tables are made once a checkout."""
    home = local_label_studio.folder()
    take_empty(home)
    server = local_label_studio.up(environment=ENVIRONMENT)
    keep_empty(home)
    return server


@pytest.fixture(autouse=True)
def state(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The lab's own state folder, in place of a test's."""
    monkeypatch.setenv("LINNET_HOME", str(lab.case.state))
    return lab.case.state


def test_contract_holds_for_the_real_server_with_images_in_tasks_and_in_its_storage(lab: Lab) -> None:
    check_contract(lab.server.url, lab.server.token)
    check_contract(lab.server.url, lab.server.token, images="server")


def test_server_keeps_its_secrets_to_itself(lab: Lab) -> None:
    file = local_label_studio.folder() / "server.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert lab.server.token not in repr(lab.server) and lab.server.password not in repr(lab.server)
    shown = Path(f"/proc/{lab.server.pid}/cmdline")
    assert not shown.exists() or lab.server.password not in shown.read_text()
    assert httpx.get(f"{lab.server.url}/api/projects/").status_code == 401


def test_up_collects_answers_beside_the_engine_and_down_ends_that(lab: Lab) -> None:
    case = lab.case
    (case.folder / "d.toml").write_text(CONFIG.replace('"photos"', '"d"', 1))
    fill(1)
    up = case.linnet("up", "--detach", "--config", "d.toml", "--engine-port", "0", "--no-console")
    try:
        assert up.returncode == 0, up.stdout + up.stderr
        found = re.search(r"answers are collected; their metrics are at (http://\S+)", up.stdout)
        assert found is not None, up.stdout
        _until(lambda: lab.hooks("Linnet d"), "the project got no webhook")
        with lab.client("ann") as client:
            (task,) = lab.tasks("Linnet d")
            client.post(f"/api/tasks/{task['id']}/annotations", json=choice("bag")).raise_for_status()
        _until(LabelTable("d").history, "the answer did not come")
        (row,) = LabelTable("d").history()
        assert (row.sample_id, row.label) == ("s00000", "bag")
        assert 'linnet_label_tasks{dataset="d",state="done"} 1.0' in httpx.get(found[1], timeout=150).text
    finally:
        down = case.linnet("down")
    assert down.returncode == 0 and "stopped" in down.stdout
    assert not [one for one in case.processes().values() if "linnet.engine" in one]


@pytest.mark.proof
def test_loop_from_a_run_to_people_and_back_to_a_run(lab: Lab) -> None:
    case, draw = lab.case, random.Random(7)
    done = case.linnet("run", "photos.toml", timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    first = case.runs()[-1]

    # The run itself exported what it asked about: 200 tasks; again, and there are no more.
    tasks = lab.tasks()
    assert len(tasks) == BUDGET, str(case.stages(first))
    again = case.linnet("labels", "export", "photos.toml")
    assert again.returncode == 0 and "0 new tasks" in again.stdout, again.stdout + again.stderr
    assert len({task["meta"]["linnet"] for task in lab.tasks()}) == BUDGET

    service = case.start("labels", "serve", "photos.toml", "--port", "0", "--every", "600")
    try:
        assert service.stdout is not None
        line = service.stdout.readline()
        metrics_url = line.partition("metrics at ")[2].partition(";")[0].strip()
        assert metrics_url.startswith("http://127.0.0.1:"), line
        truth, said = _answer_all(lab, tasks, draw)
        second = _run_caused_by_labels(case, service, first)
    finally:
        service.terminate()
        service.communicate(timeout=150)  # closes its pipes, too

    # What the table holds is what people said, exactly.
    rows = LabelTable("photos").as_of(now())
    table = {(row.sample_id, row.annotator.partition("@")[0]): row.label or row.status for row in rows}
    assert table == said
    assert len(LabelTable("photos").history()) == len(said), "no answer is there twice"
    assert all(row.latency is not None and row.latency > 0 for row in rows)

    # The run trains with the label set of that very round, and says so.
    record = case.record(second)
    evidence = record["request"]["evidence"]
    assert record["request"]["cause"] == "labels" and evidence["annotators"]
    assert record["config"]["labels"]["version"] == evidence["version"]
    folder = _collected(case, second)
    assert json.loads((folder / "labels.json").read_text())["version"] == evidence["label_set"]
    learnt = {row["sample_id"]: row for row in pq.read_table(folder / "labels.parquet").to_pylist()}
    assert {key: row["label"] for key, row in learnt.items()} == _majorities(said)
    agreed = [learnt[key]["label"] == truth[key] for key in learnt]
    assert sum(agreed) / len(agreed) > 0.9, "a third opinion fixes most of what a careless one spoils"
    assert all("@example.org" in row["annotator"] for row in learnt.values())

    shown = case.linnet("labels", "status", "photos.toml").stdout
    assert "bob@example.org" in shown and "median labelling latency" in shown
    known = next(iter(learnt))
    assert "ann@example.org" in case.linnet("labels", "show", "photos.toml", known).stdout
    _end(case)


def _answer_all(
    lab: Lab, tasks: list[dict[str, Any]], draw: random.Random
) -> tuple[dict[str, str], dict[tuple[str, str], str]]:
    """Two people answer every task, the third one those on which they differ; truth and what was said."""
    truth: dict[str, str] = {}
    said: dict[tuple[str, str], str] = {}
    by_id = {task["id"]: task["meta"]["linnet"].partition(":")[2] for task in tasks}
    names = list(COLORS)
    for sample in sorted(by_id.values()):
        truth[sample] = draw.choice(names)  # what is true is up to this test

    def opinion(who: str, sample: str) -> str:
        if draw.random() < 0.02 and who == "ann":
            return draw.choice(["skip", "cannot tell"])
        wrong = draw.random() < NOISE[who]
        return draw.choice([name for name in names if name != truth[sample]]) if wrong else truth[sample]

    for who in ("ann", "bob"):
        answers = {task: opinion(who, sample) for task, sample in by_id.items()}
        said |= {(by_id[task], who): label for task, label in answers.items()}
        lab.answer(who, answers)
    split: set[int] = set()
    for task, sample in by_id.items():
        votes = [said[sample, who] for who in ("ann", "bob") if said[sample, who] in names]
        if len(set(votes)) == 2:
            split.add(task)
    _wait_for_overlap(lab, split)
    third = {task: opinion("cleo", by_id[task]) for task in sorted(split)}
    said |= {(by_id[task], "cleo"): label for task, label in third.items()}
    lab.answer("cleo", third)
    kinds = {"skip": "skipped", "cannot tell": "cannot_tell"}
    return truth, {key: kinds.get(label, label) for key, label in said.items()}


def _until(true: Callable[[], object], otherwise: str) -> None:
    until = time.monotonic() + 200
    while not true():
        assert time.monotonic() < until, otherwise
        time.sleep(0.2)


def _wait_for_overlap(lab: Lab, split: set[int]) -> None:
    """Until the reconciler, woken by webhooks only, has asked for a third opinion on every split task."""
    until = time.monotonic() + 200
    while time.monotonic() < until:
        if {task["id"] for task in lab.tasks() if task["overlap"] == 3} == split:
            return
        time.sleep(1)
    raise AssertionError("no third opinion was asked for")


def _run_caused_by_labels(case: UseCase, service: subprocess.Popen[str], before: Path) -> Path:
    until = time.monotonic() + 200
    while time.monotonic() < until:
        for run in case.runs():
            if run != before and case.record(run)["request"]["cause"] == "labels":
                return run
        assert service.poll() is None, service.communicate()
        time.sleep(0.2)
    raise AssertionError("the finished round caused no run")


def _collected(case: UseCase, run: Path) -> Path:
    """What the run's collect_labels wrote, once it is there whole."""
    until = time.monotonic() + 400
    while time.monotonic() < until:
        for file in run.rglob("artifacts/**/labels.json"):
            if any(
                stage["task"] == "collect_labels" and stage["state"] == "succeeded"
                for stage in case.stages(run).values()
            ):
                return file.parent
        time.sleep(0.2)
    raise AssertionError(f"the run did not come to its labels: {case.record(run)}")


def _majorities(said: dict[tuple[str, str], str]) -> dict[str, str]:
    votes: dict[str, list[str]] = {}
    for (sample, _), label in said.items():
        if label in COLORS:
            votes.setdefault(sample, []).append(label)
    found = {}
    for sample, labels in votes.items():
        most = max(map(labels.count, labels))
        winners = {label for label in labels if labels.count(label) == most}
        if len(winners) == 1 and most / len(labels) >= 0.5:
            found[sample] = winners.pop()
    return found


def _end(case: UseCase) -> None:
    """Ends what the second run still has under way: that it began, with those labels, was the point."""
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        for number, command in case.processes().items():
            if "linnet" in command and "label-studio" not in command:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal_number)
        until = time.monotonic() + 90
        while any("linnet.engine" in one for one in case.processes().values()) and time.monotonic() < until:
            time.sleep(0.2)
