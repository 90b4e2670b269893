"""`report.html`: what moved, for whom, and how it looks, for a person with five seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import isfinite

import numpy as np
import numpy.typing as npt

from linnet.artifacts.onnx_model import Images
from linnet.artifacts.reference import Reference
from linnet.monitoring import charts
from linnet.monitoring.measure import kept_pixels
from linnet.monitoring.page_tables import all_tests, class_recalls, segment_accuracies
from linnet.monitoring.window import Rows
from linnet.pages.document import document
from linnet.pages.names import first_few
from linnet.pages.palette import ROOT
from linnet.records import DriftReport, Interval, PerformanceReport, SkewReport
from linnet.statistics.intervals import wilson
from linnet.vision.thumbnail import thumbnail

PAGE_FILE = "report.html"
_MOST_PLOTS, _MOST_COHORTS, _PAIRS = 6, 24, 12
_STYLE = (
    ROOT
    + """
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,
-apple-system,"Segoe UI",Roboto,sans-serif;font-variant-numeric:tabular-nums}
main{max-width:1060px;margin:0 auto;padding:20px 16px 60px}h1{font-size:27px;line-height:1.2;margin:0 0 4px}
h2{font-size:18px;margin:34px 0 8px}p{margin:4px 0 10px;max-width:78ch}.soft{color:var(--soft)}
.verdict{border-radius:14px;padding:20px 24px;margin:4px 0 18px}.verdict p{margin:4px 0 0}
.verdict.drift{background:var(--badsoft)}.verdict.drift h1{color:var(--bad)}
.verdict.stable{background:var(--goodsoft)}.verdict.stable h1{color:var(--good)}
.verdict.insufficient{background:var(--warnsoft)}.verdict.insufficient h1{color:var(--warn)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(170px,1fr));gap:10px}
.tile,.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:12px 14px}
.tile b{display:block;font-size:22px;font-weight:650}
.tile span{display:block;color:var(--soft);font-size:13px}
.tile.bad b{color:var(--bad)}.tile.unsure b{color:var(--warn)}
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(300px,1fr));gap:12px}
.plots h3{margin:0 0 2px;font-size:15px}.card small{color:var(--soft)}
.wide{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:12px;padding:6px}
table{border-collapse:collapse;width:100%}th{font-weight:600;font-size:13px;color:var(--soft);text-align:left}
th,td{padding:6px 10px;border-bottom:1px solid var(--line)}tr:last-child td{border-bottom:0}
td.n,th.n{text-align:right}.bar{width:220px;height:18px;display:block}.rail{fill:var(--line)}
.bad{fill:var(--bad)}.calm{fill:var(--soft)}.mark{stroke:var(--ink);stroke-width:1.5;stroke-dasharray:3 2}
svg.plot,svg.mix,svg.heatmap{width:100%;height:auto;display:block}svg.mix{max-width:460px}
svg text{fill:var(--soft);font:11px system-ui,sans-serif}svg .name{font-size:12.5px;fill:var(--ink)}
svg .name.strong{fill:var(--bad);font-weight:700}.then{fill:var(--soft);opacity:.55}.new{fill:var(--warm)}
.now{fill:none;stroke:var(--warm);stroke-width:2.2}.axis{stroke:var(--line)}.heat{fill:var(--bad)}
svg .value{font-size:11px;fill:var(--soft)}svg .value.light{fill:#fff}
.key{display:inline-block;width:14px;height:10px;border-radius:3px;margin:0 6px 0 14px}
.key.then{background:var(--soft)}.key.now{background:var(--warm)}
.looks{display:grid;grid-template-columns:1fr 1fr;gap:14px}.looks .card div{display:grid;
grid-template-columns:repeat(6,minmax(0,1fr));gap:8px}.looks>*{min-width:0}
.looks img{width:100%;aspect-ratio:1;object-fit:contain;
image-rendering:pixelated;border-radius:6px;background:#0001;display:block}
figure{margin:0}figcaption{font-size:11.5px;color:var(--soft);white-space:nowrap;overflow:hidden;
text-overflow:ellipsis}@media(max-width:700px){.looks{grid-template-columns:1fr}}
"""
)


@dataclass(frozen=True)
class PageData:
    """What the page shows beyond the records."""

    reference: Reference
    rows: Rows
    performance: PerformanceReport | None = None
    skew: SkewReport | None = None
    evidently: bool = False
    """Whether evidently.html lies beside the page."""


def render(report: DriftReport, evidence: PageData) -> str:
    """The page as HTML."""
    title, kind = _headline(report)
    window = report.window
    span = f"{window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M} UTC"
    parts = [
        f'<section class="verdict {report.verdict}"><h1>{escape(title)}</h1>'
        f"<p><b>{escape(window.model)}</b> version {escape(window.version)}, {window.extent}, {span}. "
        f"{escape(kind)}</p></section>",
        _tiles(report, evidence),
        _moved(report, evidence),
        _looks(report, evidence),
        _cohorts(report, evidence),
        all_tests(report),
        class_recalls(evidence.performance),
        segment_accuracies(evidence.performance),
        _notes(report, evidence),
    ]
    return document(title, _STYLE, f"<main>{''.join(parts)}</main>")


def _headline(report: DriftReport) -> tuple[str, str]:
    if report.verdict == "insufficient":
        return "Too few images for a verdict", " ".join(report.notes)
    if report.verdict == "stable":
        return "No drift", "Nothing that matters differs from what the model was trained and judged on."
    moved = report.drifted
    if moved:
        return f"Drift: {first_few([test.name for test in moved])}", f"Largest: {moved[0].sentence}."
    largest = sorted((c for c in report.cohorts if c.drifted), key=lambda cohort: -cohort.effect)
    cohorts = first_few([f"{cohort.name} ({cohort.column})" for cohort in largest])
    return f"Drift within cohorts: {cohorts}", "The window as a whole looks like the reference."


def _tiles(report: DriftReport, evidence: PageData) -> str:
    window, performance = report.window, evidence.performance
    failures = wilson(window.failed, window.served + window.failed, 0.95)
    tiles = []
    if performance is not None and performance.accuracy is not None:
        bad = performance.loss is not None and performance.loss.low > 0
        waited = (
            f", {performance.delay_p50_seconds:,.0f} s after the answer"
            if performance.delay_p50_seconds
            else ""
        )
        said = f"{performance.labelled:,} labels{waited}; {performance.reference_accuracy:.1%} at release"
        tiles.append(_tile("Accuracy, measured", _share(performance.accuracy), said, "bad" if bad else ""))
    if performance is not None and performance.estimate is not None and isfinite(performance.estimate.value):
        holds = performance.estimate_holds
        said = f"without labels; {performance.reference_accuracy:.1%} at release"
        if not holds:
            said = f"unproven: {performance.doubts[0]}"
        tiles.append(
            _tile("Accuracy, estimated", _share(performance.estimate), said, "" if holds else "unsure")
        )
    strange = next((t for t in report.tests if t.kind == "embedding"), None)
    if strange:
        tone = "bad" if strange.drifted else ""
        tiles.append(
            _tile(
                "Told from the reference", f"{strange.effect:.2f}", "AUC on embeddings; 0.5: not at all", tone
            )
        )
    if isfinite(failures.value):
        said = f"{window.failed:,} of {window.failed + window.served:,} requests"
        tiles.append(_tile("Failed", f"{failures.value:.2%}", said, "bad" if failures.low > 0.01 else ""))
    if isfinite(window.latency_p95_ms):
        tiles.append(
            _tile("Latency p95", f"{window.latency_p95_ms:.1f} ms", f"median {window.latency_p50_ms:.1f} ms")
        )
    if evidence.skew is not None:
        skew = evidence.skew
        said = f"values of {skew.compared:,} rows computed again"
        told = f"{skew.differences:,}" if skew.compared or skew.differences else "unknown"
        tiles.append(_tile("Skew", told, said, "bad" if skew.verdict == "fail" else ""))
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _tile(name: str, value: str, said: str, tone: str = "") -> str:
    return f'<div class="tile {tone}"><span>{name}</span><b>{value}</b><span>{escape(said)}</span></div>'


def _share(interval: Interval) -> str:
    return f"{interval.value:.1%} <small>± {(interval.high - interval.low) / 2:.1%}</small>"


def _moved(report: DriftReport, evidence: PageData) -> str:
    """Distributions of what drifted most; of a stable window, of what came closest."""
    if not report.tests:
        return ""
    reference, rows = evidence.reference, evidence.rows
    ranked = sorted(report.tests, key=lambda test: (not test.drifted, -test.severity))
    chosen = [test for test in ranked if test.kind != "embedding"][:_MOST_PLOTS]
    values: dict[str, npt.NDArray[np.floating]] = {
        name: rows.features[:, k] for k, name in enumerate(reference.features)
    }
    values |= {"confidence": rows.confidence, **reference.watched(rows.output)}
    cards = []
    for test in chosen:
        if test.name == "classes":
            then = reference.class_counts / reference.class_counts.sum()
            counts = rows.named.sum(axis=0)
            now = counts / max(counts.sum(), 1)
            picture = charts.class_mix(reference.classes, list(then), list(now))
        else:
            sample = reference.columns[reference.names.index(test.name)]
            picture = charts.distributions(sample, values[test.name])
        state = "drifted" if test.drifted else "within what is normal"
        cards.append(
            f'<div class="card"><h3>{escape(test.name)}</h3>{picture}'
            f"<small>{state}; effect {test.effect:.2f}, matters from {test.threshold:g} on</small></div>"
        )
    title = "What moved most" if report.drifted else "What came closest to moving"
    key = '<span class="key then"></span>reference<span class="key now"></span>this window'
    return f'<h2>{title}</h2><p class="soft">{key}</p><div class="plots">{"".join(cards)}</div>'


def _looks(report: DriftReport, evidence: PageData) -> str:
    """Images before and now: the strangest kept ones, beside reference images of the same class."""
    rows, reference = evidence.rows, evidence.reference
    place = {name: k for k, name in enumerate(rows.sample_id) if rows.image[k] is not None}
    predicted, confidence = rows.likeliest, rows.confidence
    before: list[tuple[Images, str]] = []
    now: list[tuple[Images, str]] = []
    used = dict.fromkeys(range(len(reference.classes)), 0)
    for name in dict.fromkeys(report.samples):
        pixels = kept_pixels(rows.image[place[name]]) if name in place else None
        if pixels is None or len(now) == _PAIRS:
            continue
        label = int(predicted[place[name]])
        now.append((pixels, f"{reference.classes[label]} {confidence[place[name]]:.0%}"))
        fitting = np.flatnonzero(reference.example_classes == label)
        if len(fitting):
            before.append((reference.examples[fitting[used[label] % len(fitting)]], reference.classes[label]))
            used[label] += 1
    if not now:
        return ""
    sides = {
        "Before: held-out images that the model calls the same": before,
        "Now: the kept images least like the reference, and what the model says": now,
    }
    cards = "".join(
        f"<div class=card><p class=soft>{text}</p>{_grid(side)}</div>" for text, side in sides.items()
    )
    return f"<h2>How it looks</h2><div class=looks>{cards}</div>"


def _grid(images: Sequence[tuple[Images, str]]) -> str:
    figures = "".join(
        f'<figure><img src="{thumbnail(image)}" alt=""><figcaption>{escape(text)}</figcaption></figure>'
        for image, text in images
    )
    return f"<div>{figures}</div>"


def _cohorts(report: DriftReport, evidence: PageData) -> str:
    known = [cohort for cohort in report.cohorts if cohort.effects]
    if not known:
        return ""
    ranked = sorted(known, key=lambda cohort: (not cohort.drifted, -cohort.effect))
    shown, left = ranked[:_MOST_COHORTS], ranked[_MOST_COHORTS:]
    threshold = min((t.threshold for t in report.tests), default=0.1)
    picture = charts.heat_map(
        sorted(shown, key=lambda cohort: (cohort.cohort, -cohort.effect)), evidence.reference.names, threshold
    )
    said = (
        "KS distance of each cohort from the same cohort of before: thirds of brightness, predicted classes "
    )
    said += "and groups of users. Bold: drifted."
    if left:
        moved = sum(cohort.drifted for cohort in left)
        said += f" {len(shown)} of {len(known)} cohorts are shown; {moved or 'none'} of the others drifted."
    if thin := len(report.cohorts) - len(known):
        said += f" {thin} more have too few images to be compared."
    return f'<h2>Drift by cohort</h2><p class="soft">{said}</p><div class="wide">{picture}</div>'


def _notes(report: DriftReport, evidence: PageData) -> str:
    notes = list(report.notes)
    window = report.window
    if window.late:
        notes.append(f"{window.late:,} rows were written after the window was closed")
    if evidence.performance is not None:
        notes += [
            f"the estimate without labels is unproven: {doubt}" for doubt in evidence.performance.doubts
        ]
        notes += evidence.performance.notes
    if evidence.skew is not None:
        notes += [*evidence.skew.libraries, *evidence.skew.notes]
    items = "".join(f"<li>{escape(note)}</li>" for note in dict.fromkeys(notes))
    more = '<p><a href="evidently.html">The same window in Evidently</a></p>' if evidence.evidently else ""
    said = (
        f"Reference: {report.reference_rows:,} training and validation images for the features; "
        f"{report.reference_held_out:,} images that were not trained on for what the model says."
    )
    return f"<h2>Notes</h2><p class=soft>{said}</p>{f'<ul>{items}</ul>' if items else ''}{more}"
