"""pull: exactly what people answered comes in, once; what cannot be used is kept with its reason."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from linnet.config import LabelsConfig
from linnet.errors import LabelServerError, LinnetError, ProjectGone, RunError
from linnet.labels.close_rounds import run_key, settle
from linnet.labels.export import export
from linnet.labels.reconcile import pull
from linnet.labels.rounds import Rounds
from linnet.labels.server import NewTask
from linnet.labels.status import status
from linnet.labels.table import LabelTable
from linnet.labels.trigger import MemoryTrigger
from linnet.records import RunRequest, now
from tests.doubles.label_server import MemoryLabelServer
from tests.labels.queue import CHOICES, fill, put, request
from tests.labels.sample_tables import QUESTION

ONE, TWO = LabelsConfig(annotators=1), LabelsConfig(annotators=2)


class Clock:
    def __init__(self) -> None:
        self.moment = now()

    def __call__(self) -> datetime:
        self.moment += timedelta(milliseconds=1)
        return self.moment


class Lab:
    """A memory server with `count` exported tasks."""

    def __init__(self, count: int = 5, config: LabelsConfig = ONE) -> None:
        self.config, self.clock = config, Clock()
        self.server = MemoryLabelServer(CHOICES, self.clock)
        fill(count)
        self.project = export("d", self.server, config, QUESTION).project
        self.ids = {task.key.partition(":")[2]: task.id for task in self.server.tasks(self.project)}

    def answer(self, number: int, choice: str | None, who: str = "ann", annotation: int | None = None) -> int:
        return self.server.answer(self.ids[f"s{number:05d}"], who, choice, annotation)

    def pull(self, full: bool = False):  # type: ignore[no-untyped-def]
        return pull("d", self.server, self.config, QUESTION, full)


def labels() -> list[tuple[str, str, str, str]]:
    rows = LabelTable("d").as_of(now() + timedelta(days=1))
    return [(row.sample_id, row.annotator, row.status, row.label) for row in rows]


def test_pull_keeps_labels_skips_and_cannot_tell_as_such_once() -> None:
    lab = Lab(4)
    lab.answer(0, "boot")
    lab.answer(1, None)
    lab.answer(2, "cannot tell")
    found = lab.pull()
    assert (found.added, found.open, found.closed) == (3, 1, [])
    assert lab.pull().added == 0 and lab.pull(full=True).added == 0
    assert labels() == [
        ("s00000", "ann", "label", "boot"),
        ("s00001", "ann", "skipped", ""),
        ("s00002", "ann", "cannot_tell", ""),
    ]
    row = LabelTable("d").history()[0]
    assert (row.batch, row.reason) == ("b1", "margin") and row.latency is not None and row.latency >= 0


def test_pull_correction_is_a_version_and_the_past_keeps_the_old_one() -> None:
    lab = Lab(2)
    number = lab.answer(0, "boot")
    lab.pull()
    before = LabelTable("d").freeze()
    lab.answer(0, "coat", annotation=number)
    assert lab.pull().added == 1
    assert [row.label for row in LabelTable("d").as_of(before)] == ["boot"]
    assert labels() == [("s00000", "ann", "label", "coat")]


def test_pull_server_clock_that_runs_backwards_hides_no_answer() -> None:
    lab = Lab(3)
    lab.answer(0, "boot")
    lab.pull()
    lab.clock.moment -= timedelta(days=3)
    lab.answer(1, "coat")
    assert lab.pull().added == 1
    assert [row[3] for row in labels()] == ["boot", "coat"]
    assert min(row.latency or 0 for row in LabelTable("d").history()) == 0.0


def test_pull_unknown_task_and_label_outside_the_set_are_quarantined_with_the_reason() -> None:
    lab = Lab(3)
    lab.server.add_tasks(lab.project, [NewTask("", b"", {}), NewTask("b1:nobody", b"", {})])
    alien, unknown = list(lab.server.tasks(lab.project))[-2:]
    lab.server.answer(alien.id, "ann", "bag")
    lab.server.answer(unknown.id, "ann", "bag")
    lab.answer(0, "hat")
    lab.answer(1, "bag")
    found = lab.pull()
    assert (found.added, found.quarantined) == (1, 3) and lab.pull(full=True).quarantined == 0
    reasons = [reason for _, reason in LabelTable("d").quarantined()]
    assert sum("is not one that Linnet exported" in reason for reason in reasons) == 2
    assert any("the dataset has no class 'hat'; it has bag, boot, coat" in reason for reason in reasons)
    facts = json.loads(LabelTable("d").quarantined()[0][0])
    assert facts["annotator"] == "ann" and facts["result"]
    assert status("d").quarantined == 3
    lab.server.answer(lab.ids["s00000"], "ann", "coat", facts_id(lab, 0))
    assert lab.pull().added == 1, "fixed by the annotator, it counts"


def facts_id(lab: Lab, number: int) -> int:
    task = lab.server.projects[lab.project].tasks[lab.ids[f"s{number:05d}"]]
    return task.annotations[0].id


def test_pull_deleted_task_is_no_longer_waited_for_and_its_answers_stay() -> None:
    lab = Lab(3)
    lab.answer(0, "boot")
    lab.pull()
    lab.server.delete_task(lab.ids["s00000"])
    lab.server.delete_task(lab.ids["s00001"])
    found = lab.pull(full=True)
    assert (found.lost, found.open) == (2, 1) and status("d").lost == 2
    lab.answer(2, "coat")
    assert lab.pull().closed == ["b1"]
    assert [row[3] for row in labels()] == ["boot", "coat"]


def test_pull_deleted_answer_is_withdrawn_as_a_version() -> None:
    lab = Lab(2)
    lab.answer(0, "boot")
    lab.pull()
    project = lab.server.projects[lab.project]
    task = project.tasks[lab.ids["s00000"]]
    project.tasks[task.id] = replace(task, annotations=())
    assert lab.pull(full=True).added == 1 and lab.pull(full=True).added == 0
    assert labels() == [("s00000", "ann", "skipped", "")]
    assert [row.label for row in LabelTable("d").history()] == ["boot", ""]


def test_pull_from_a_deleted_project_is_one_clear_error_and_loses_nothing() -> None:
    lab = Lab(2)
    lab.answer(0, "boot")
    lab.pull()
    del lab.server.projects[lab.project]
    with pytest.raises(ProjectGone, match=r"somebody deleted it.*linnet labels export"):
        lab.pull()
    assert [row[3] for row in labels()] == ["boot"]


def test_pull_before_an_export_says_what_to_do() -> None:
    with pytest.raises(LabelServerError, match=r"no task of 'd' was exported.*linnet labels export"):
        pull("d", MemoryLabelServer(CHOICES), ONE, QUESTION)


def test_pull_disagreement_asks_a_third_person_once() -> None:
    lab = Lab(2, TWO)
    for number in (0, 1):
        lab.answer(number, "boot", "ann")
    lab.answer(0, "coat", "bob")
    lab.answer(1, "boot", "bob")
    found = lab.pull()
    assert (found.more_asked, found.open, found.closed) == (1, 1, [])
    assert lab.server.projects[lab.project].overlap[lab.ids["s00000"]] == 3
    assert lab.pull().more_asked == 0
    lab.answer(0, "bag", "cleo")
    found = lab.pull()
    assert (found.more_asked, found.closed) == (0, ["b1"]), (
        "three who differ stay a dispute: nobody is asked on"
    )


def test_pull_enough_labels_close_a_round_early() -> None:
    lab = Lab(9, LabelsConfig(train_after_labels=3))
    for number in range(3):
        assert lab.pull().closed == []
        lab.answer(number, "boot")
    assert lab.pull().closed == ["b1"] and lab.pull().closed == []


def test_settle_cuts_one_set_and_asks_for_one_run_whatever_is_repeated() -> None:
    lab, trigger = Lab(3), MemoryTrigger()
    for number in range(3):
        lab.answer(number, "boot")
    lab.pull()
    assert settle("d", None) == []  # without a trigger only the set is cut
    closed = Rounds("d").closed()["b1"]
    assert settle("d", trigger) == [run_key("d", "b1")] and settle("d", trigger) == []
    Rounds("d").set_run("b1", "")  # as if killed before the run was noted
    assert settle("d", trigger) == [run_key("d", "b1")]
    ((asked, version),) = trigger.runs.values()
    assert version == closed.version and asked.cause == "labels"
    assert asked.evidence["batch"] == "b1" and asked.evidence["label_set"].endswith(".dir")
    assert asked.evidence["annotators"] == ["ann"] and asked.evidence["answers"] == 3


def test_settle_round_whose_run_is_refused_holds_up_no_other() -> None:
    class Refusing(MemoryTrigger):
        def request_run(self, request: RunRequest, version: str, key: str) -> str:
            if key == run_key("d", "b1"):
                raise RunError("refused")
            return super().request_run(request, version, key)

    lab, trigger = Lab(2), Refusing()
    lab.answer(0, "boot")
    lab.answer(1, "boot")
    assert lab.pull().closed == ["b1"]
    Rounds("d").close("b2", now())
    told: list[str] = []
    with pytest.raises(RunError, match="refused"):
        settle("d", trigger, told.append)
    assert told == [run_key("d", "b2")], "the run that was started is named although another was refused"
    rounds = Rounds("d").closed()
    assert all(one.version for one in rounds.values())
    assert [one.run_id for one in rounds.values()] == ["", run_key("d", "b2")]


def test_settle_names_every_round_that_stays_due() -> None:
    class Refusing(MemoryTrigger):
        def request_run(self, request: RunRequest, version: str, key: str) -> str:
            raise RunError(f"no room for {key}")

    lab = Lab(1)
    lab.answer(0, "boot")
    assert lab.pull().closed == ["b1"]
    Rounds("d").close("b2", now())
    with pytest.raises(LinnetError) as caught:
        settle("d", Refusing())
    assert all(f"{batch}: no room for {run_key('d', batch)}" in str(caught.value) for batch in ("b1", "b2"))


def test_status_counts_latency_agreement_and_gold() -> None:
    put([request(i, gold="bag" if i < 2 else "", reason="gold" if i < 2 else "margin") for i in range(4)])
    clock = Clock()
    server = MemoryLabelServer(CHOICES, clock)
    project = export("d", server, TWO, QUESTION).project
    clock.moment += timedelta(hours=2)
    for task in list(server.tasks(project)):
        server.answer(task.id, "ann", "bag")
        server.answer(task.id, "bob", "boot" if task.key.endswith("0") else "bag")
    pull("d", server, TWO, QUESTION)
    now_is = status("d")
    assert (now_is.open, now_is.done, now_is.answers) == (1, 3, {"label": 8})  # one waits for a third person
    assert now_is.median_latency == pytest.approx(7200, abs=60)
    assert {one.annotator: one.gold_accuracy for one in now_is.annotators} == {"ann": 1.0, "bob": 0.5}
    assert now_is.agreement == pytest.approx(0.75) and now_is.oldest_open is not None
    assert now_is.oldest_open <= datetime.now(UTC)


def test_events_are_queued_once_and_done_in_order() -> None:
    rounds = Rounds("d")
    assert rounds.take_event("ANNOTATION_CREATED", b"one") and rounds.take_event("TASKS_DELETED", b"two")
    assert not rounds.take_event("ANNOTATION_CREATED", b"one")
    events = rounds.events()
    assert [action for _, action in events] == ["ANNOTATION_CREATED", "TASKS_DELETED"]
    rounds.events_done(events[0][0])
    assert [action for _, action in rounds.events()] == ["TASKS_DELETED"]
