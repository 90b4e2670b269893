from __future__ import annotations

from pathlib import Path

from linnet.console.views.data import dropped
from linnet.data.validate_docs import _found
from linnet.records import DatasetManifest, ExpectationResult, ValidationReport
from linnet.report.evidence import read_evidence
from linnet.report.render import html, markdown
from tests.console.records import evidence, run_record


def test_report_of_a_promoted_candidate_compares_it_with_the_champion() -> None:
    text = markdown(evidence(), {"accuracy": 0.88, "ece": 0.91})
    assert text.startswith("## ✅ The candidate passed: fashion")
    assert "model version **7**" in text and "commit `abcdef012345`" in text
    assert "| metric | candidate | interval | champion 6 | change |" in text
    assert "| Accuracy | **0.9000** | 0.8900 – 0.9100 | 0.8800 | +0.0200 🟢 |" in text
    assert "| Calibration error | **0.9000** | 0.8900 – 0.9100 | 0.9100 | −0.0100 🟢 |" in text
    assert "| Macro F1 | **0.9000** | 0.8900 – 0.9100 | – | – |" in text
    assert "by **+2.00 points** (+1.00 to +3.00)" in text
    assert "### Canary: promote" in text and "| 50 % | ██████████ | 95 |" in text
    assert "line [0.8100, 0.8200, 0.8300]" in text


def test_report_of_a_refused_candidate_says_which_gate_and_why() -> None:
    text = markdown(evidence(state="rejected", passed=False))
    assert "## ❌ The candidate was refused" in text and "> accuracy is too low" in text
    assert "| ❌ | accuracy | evaluation | 0.8900 < 0.9500 |" in text
    assert "Canary" not in text


def test_report_names_contradicting_labels_and_all_that_was_set_aside() -> None:
    dataset = DatasetManifest(
        name="p", digest="d" * 32, revision="", classes=("a", "b"), counts={}, shards=(),
        rows=90, raw_rows=97,
        dropped_duplicates=1, dropped_leaks=0, conflicts=2, near_leaks=4, left_out={"not an image": 3},
        notes=("2 file(s) were not read (<b>)",),
        dropped=("a/1.png: conflict: the same pixels are labelled 'a', 'b'", "a/<b>.png: duplicate"),
    )  # fmt: skip
    result = ExpectationResult(name="conflict_fraction", passed=False, detail="Few have another label")
    report = ValidationReport(dataset_digest="d", passed=False, results=(result,), counts={})
    text = markdown(evidence(dataset=dataset, validation=report))
    assert "90 samples of 97 images in 2 classes" in text
    assert "| conflict: equal pixels with different labels | 2 |" in text and "| not an image | 3 |" in text
    assert "leak: the same pixels in the test split" not in text
    assert "- a/1.png: conflict: the same pixels are labelled 'a', 'b'" in text
    assert "a/&lt;b&gt;.png" in text and "❌ conflict_fraction: Few have another label" in text
    assert "- how it was read: 2 file(s) were not read (&lt;b&gt;)" in text
    shown = str(dropped(dataset)) + _found(dataset)
    assert shown.count("2 file(s) were not read (&lt;b&gt;)") == 2, "the console and the Data Docs, too"
    assert "conflict" in html(evidence(dataset=dataset, validation=report))
    assert "### Data" not in markdown(evidence())


def test_report_says_which_record_it_could_not_read(tmp_path: Path) -> None:
    """A damaged gates.json once left a run without any gate that had failed."""
    run_record("r1").save(tmp_path / "run.json")
    report = tmp_path / "evaluate" / "report"
    report.mkdir(parents=True)
    (report / "gates.json").write_text("{<b>")
    found = read_evidence(tmp_path)
    (problem,) = found.unread
    assert problem.startswith("evaluate: ") and "gates.json" in problem and not found.decisions
    assert "⚠️ A record cannot be read, and is missing below: evaluate: " in markdown(found)


def test_texts_from_data_cannot_become_markup_or_mentions() -> None:
    record = run_record(state="failed", error="<script>alert(1)</script> @everyone | x")
    text = markdown(evidence(record=record))
    assert "<script>" not in text and "@everyone" not in text and "\\| x" in text
    assert "0.90 \\| on 100 &lt;b&gt;samples&lt;/b&gt;" in text
    assert "<script>" not in html(evidence(record=record))


def test_run_that_failed_early_has_a_report_too() -> None:
    nothing = {"training": None, "evaluation": None, "decisions": (), "rollout": None}
    text = markdown(
        evidence(record=run_record(state="failed", error="the disk is full", stages=()), **nothing)
    )
    assert "💥 The run failed" in text and "the disk is full" in text
    assert "Gates" not in text and "Metrics" not in text


def test_page_holds_the_tables() -> None:
    page = html(evidence(), {"accuracy": 0.88})
    assert page.startswith("<!doctype html>") and page.count("<table>") >= 3
    assert "<strong>0.9000</strong>" in page and "http" not in page.partition("<body>")[2]
