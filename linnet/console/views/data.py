"""The dataset: versions, balance, validation and samples. Records in, markup out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from urllib.parse import urlencode

from linnet.console.markup import (
    Html,
    address,
    bar,
    card,
    chip,
    empty,
    facts,
    join,
    link,
    of_all,
    pager,
    problem,
    table,
    tag,
    tile,
    tiles,
)
from linnet.console.samples import PAGE, Filters, Shot
from linnet.pages.numbers import percent
from linnet.records import SPLITS, DatasetManifest, ExpectationResult, RunRecord, ValidationReport

VERSIONS = 10
"""Dataset versions of each model that are listed."""


def figures(manifest: DatasetManifest) -> Html:
    """The dataset in figures."""
    sizes = {split: manifest.images_of(split) for split in SPLITS}
    shown = tuple(
        tile(split.capitalize(), f"{size:,}", percent(size / max(manifest.rows, 1)))
        for split, size in sizes.items()
        if size
    )
    left_out = sum(manifest.left_out.values())
    return tiles(
        tile("Images", f"{manifest.rows:,}", f"{len(manifest.classes)} classes"),
        *shown,
        tile(
            "Dropped",
            f"{manifest.raw_rows - manifest.rows - manifest.bad:,}",
            f"{manifest.dropped_duplicates:,} duplicates, {manifest.dropped_leaks:,} leaks, "
            f"{manifest.near_leaks:,} near leaks, {manifest.conflicts:,} label conflicts",
        ),
        *((tile("Left out", f"{left_out:,}", "files that are no samples"),) if left_out else ()),
        *((tile("Bad files", f"{manifest.bad:,}", "cannot be used as images"),) if manifest.bad else ()),
    )


def dropped(manifest: DatasetManifest) -> Html:
    """What did not become a sample, by name and reason."""
    counts = [(what, f"{number:,}") for what, number in manifest.findings.items() if number]
    bad = [tuple(line.partition(": ")[::2]) for line in manifest.bad_files]
    parts = [
        problem(manifest.near_note) if manifest.near_note else Html(""),
        table(("Found", ">Number"), counts, "What was found among the files") if counts else Html(""),
        table(("File", "Why it was left out"), bad, f"Bad files: {manifest.bad:,}") if bad else Html(""),
        *(_named(*named) for named in manifest.named_findings[1:]),
        _how_read(manifest.notes),
    ]
    nothing = not (counts or manifest.dropped or manifest.near_note or manifest.notes)
    return empty("Nothing was dropped", "Every file became a sample.") if nothing else join(parts)


def _how_read(notes: Sequence[str]) -> Html:
    if not notes:
        return Html("")
    return join([tag("h3", "How the folder was read"), tag("ul", *(tag("li", note) for note in notes))])


def _named(title: str, total: int, lines: Sequence[str]) -> Html:
    if not lines:
        return Html("")
    shown = [tag("li", tag("code", line)) for line in lines]
    first = f", the first {len(lines):,}" if total > len(lines) else ""
    return tag("details", tag("summary", f"{title}: {total:,}{first}"), tag("ul", *shown))


def balance(manifest: DatasetManifest) -> Html:
    """Training images a class, as bars."""
    counts = manifest.counts.get("train", {})
    top = max(counts.values(), default=1)
    rows = [
        (
            name,
            bar(counts.get(name, 0) / top),
            *(f"{manifest.counts.get(split, {}).get(name, 0):,}" for split in SPLITS),
        )
        for name in manifest.classes
    ]
    return table(
        ("Class", "Training images", *(f">{split}" for split in SPLITS)), rows, "Images per class and split"
    )


def validation(report: ValidationReport | None, docs: str) -> Html:
    """What the expectations found, what failed first."""
    if report is None:
        return empty("Not validated", "The run stopped before its validation.")
    failed = [result for result in report.results if not result.passed]
    held = [result for result in report.results if result.passed]
    words = f"{len(held)} of {len(report.results)} checks passed"
    verdict = chip("fail" if failed else "pass", mark=True)
    link_to = tag("a", "Data Docs", href=docs, target="_blank", rel="noopener") if docs else ""
    return join(
        [
            tag("p", verdict, f" {words}. ", link_to),
            _expectations(failed) if failed else "",
            tag("details", tag("summary", f"{len(held)} passed checks"), _expectations(held)),
        ]
    )


def _expectations(found: Sequence[ExpectationResult]) -> Html:
    rows = [
        (
            chip("pass" if result.passed else "fail", mark=True),
            tag("b", result.name.replace("_", " ")),
            join([tag("span", result.detail, class_="soft small"), _rows(result.rows)]),
        )
        for result in found
    ]
    return table(("Verdict", "Expectation", "What was found"), rows, "Validation")


def _rows(names: Sequence[str]) -> Html:
    if not names:
        return Html("")
    return tag("details", tag("summary", f"{len(names)} rows"), tag("code", ", ".join(names)))


def versions(found: Sequence[tuple[RunRecord, DatasetManifest]], shown: str) -> Html:
    """Dataset versions that runs read, the newest first: the last few of each model."""
    several: Counter[str] = Counter()
    newest = []
    for record, manifest in found:
        several[record.model_name] += 1
        if several[record.model_name] <= VERSIONS:
            newest.append((record, manifest))
    listed = table(
        ("Model", "Dataset", ">Images", "?Revision", "Read by"),
        (
            (
                record.model_name,
                tag("code", manifest.digest[:16]),
                f"{manifest.rows:,}",
                manifest.revision or "working tree",
                link(record.run_id, address("data", run=record.run_id)),
            )
            for record, manifest in newest
        ),
        "Dataset versions",
        marked=next((i for i, (record, _) in enumerate(newest) if record.run_id == shown), -1),
    )
    return join([listed, of_all(len(newest), len(found), "dataset versions, the newest of each model")])


def identity(record: RunRecord, manifest: DatasetManifest) -> Html:
    """Which dataset this is."""
    return card(
        "This version",
        facts(
            (
                ("Name", manifest.name),
                ("Of model", record.model_name),
                ("Digest", tag("code", manifest.digest)),
                ("Revision", manifest.revision or "working tree"),
                ("Read by", link(record.run_id, address("runs", record.run_id))),
                ("Cohorts", ", ".join(manifest.cohorts) or "none configured"),
            )
        ),
    )


def browser(shots: Sequence[Shot], total: int, number: int, target: str, said: dict[str, str]) -> Html:
    """A page of samples; `said`: what the model made of those that it got wrong."""
    if not shots:
        return empty("No sample fits", link("Drop the filters", "/data#samples"))
    figures = [
        tag(
            "figure",
            tag(
                "a",
                tag("img", src=shot.picture, alt=f"sample {shot.sample_id}", width=112, height=112),
                href=address("samples", shot.sample_id),
            ),
            tag(
                "figcaption",
                tag("b", shot.label),
                *((" predicted as ", tag("b", said[shot.sample_id])) if shot.sample_id in said else ()),
                tag("div", f"{shot.split} · {shot.sample_id[:8]}", class_="soft"),
            ),
        )
        for shot in shots
    ]
    return join(
        [
            tag("p", f"{total:,} samples", class_="soft small"),
            tag("div", *figures, class_="shots"),
            pager(number, PAGE, total, target),
        ]
    )


def target_of(run_id: str, filters: Filters, mistakes: bool, predicted: str = "") -> str:
    """The address of the page with these filters."""
    words = {"run": run_id, "label": filters.label, "split": filters.split, "cohort": filters.cohort}
    words["predicted"] = predicted
    words["mistakes"] = "1" if mistakes else ""
    return "/data?" + urlencode({key: value for key, value in words.items() if value})
