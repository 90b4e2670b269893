"""`/data`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fastapi import FastAPI, Request
from nicegui import ui

from linnet.console import shell
from linnet.console.context import Context, role_of
from linnet.console.held_out import judged
from linnet.console.markup import Html, address, empty, join, left_out, link, section, tag
from linnet.console.production_status import labelling
from linnet.console.samples import Filters, SampleTable, Shot
from linnet.console.views import data as view
from linnet.console.views.labelling import queue
from linnet.errors import LinnetError, StorageError
from linnet.labels.status import LabelStatus
from linnet.records import SPLITS, DatasetManifest, RunRecord
from linnet.report.evidence import RunEvidence
from linnet.run import runs

PLACE = 6
NAV = shell.NavItem(
    "Data",
    "/data",
    '<ellipse cx="12" cy="5.5" rx="8" ry="2.8"/><path d="M4 5.5v13c0 1.5 3.6 2.8 8 2.8s8-1.3 8-2.8v-13M4 12c0 1.500 3.600 2.800 8 2.800s8-1.300 8-2.800"/>',
)

NO_CLASS = "none of the classes"


@dataclass(frozen=True)
class DatasetPageData:
    """All that the page shows."""

    evidence: RunEvidence
    table: SampleTable
    versions: list[tuple[RunRecord, DatasetManifest]]
    filters: Filters
    mistakes: bool
    shots: list[Shot]
    total: int
    number: int
    said: dict[str, str]
    labels: LabelStatus | None
    unread: list[str] = field(default_factory=list)
    """Datasets that are missing here, and why."""
    predicted: str = ""
    """Only test samples of which the run's model says this."""


def register(context: Context, app: FastAPI) -> None:
    """Adds the page."""

    @ui.page("/data", title="Data · Linnet")
    async def data(
        request: Request,
        run: str = "",
        label: str = "",
        split: str = "",
        cohort: str = "",
        mistakes: str = "",
        predicted: str = "",
        page: int = 0,
    ) -> None:
        with shell.frame("Data", role_of(request)):
            shell.head("Data", "What the models learn from, and whether it is sound.")
            filters = Filters(label, split, cohort)
            await shell.shown(
                lambda: load(context, run, filters, bool(mistakes), max(page, 0), predicted), _draw
            )


def load(
    context: Context, run_id: str, filters: Filters, mistakes: bool, number: int, predicted: str = ""
) -> DatasetPageData | None:
    """Everything that the page shows; None where no run read a dataset yet."""
    versions, unread = dataset_versions(context)
    wanted = run_id or default_run(context, [record for record, _ in versions])
    if not wanted:
        if unread:
            raise StorageError("; ".join(unread))
        return None
    evidence = context.sources.evidence(wanted)
    samples = runs.artifact(evidence.folder, "ingest", "samples")
    if samples is None:
        return None
    said: dict[str, str] = {}
    if (mistakes or predicted) and (known := judged(evidence.folder)) is not None:
        rows = known.order if mistakes else range(len(known.said))
        said = {known.split.ids[row]: known.said[row] or NO_CLASS for row in rows}
        said = {name: label for name, label in said.items() if predicted in ("", label)}
    table = SampleTable(samples)
    only = frozenset(said) if mistakes or predicted else None
    asked = Filters(filters.label, filters.split, filters.cohort, only)
    shots, total = table.page(asked, number)
    labels = labelling(context, str(evidence.record.config.get("name", "")))
    return DatasetPageData(
        evidence, table, versions, filters, mistakes, shots, total, number, said, labels, unread, predicted
    )


def default_run(context: Context, records: Sequence[RunRecord]) -> str:
    """The newest of these runs that is of the model people are asked about; else the newest; else empty."""
    model = context.model()
    ours = (record.run_id for record in records if record.model_name == model)
    return next(ours, records[0].run_id if records else "")


def dataset_versions(context: Context) -> tuple[list[tuple[RunRecord, DatasetManifest]], list[str]]:
    """The datasets that the runs of each model read, each with its newest run; and why others lack."""
    found: dict[tuple[str, str], tuple[RunRecord, DatasetManifest]] = {}
    unread: list[str] = []
    for record in context.sources.runs():
        try:
            samples = runs.artifact(runs.runs_dir() / record.run_id, "ingest", "samples")
            if samples is None:
                continue
            manifest = DatasetManifest.load(samples / "manifest.json")
        except LinnetError as error:
            unread.append(f"the dataset of run {record.run_id}: {error}")
            continue
        found.setdefault((record.model_name, manifest.digest), (record, manifest))
    return list(found.values()), unread


def _draw(found: DatasetPageData | None) -> None:
    if found is None:
        shell.html(
            empty(
                "No dataset was read yet",
                join(["The first step of a run reads one: ", link("start a run", "/runs/new"), "."]),
            )
        )
        return
    manifest, record = found.table.manifest, found.evidence.record
    docs = next(
        (
            address("artifacts", record.run_id, i, file.name)
            for i, (title, file) in enumerate(found.evidence.pages)
            if title == "Data validation"
        ),
        "",
    )
    target = view.target_of(record.run_id, found.filters, found.mistakes, found.predicted)
    shell.html(
        join(
            [
                left_out(found.unread),
                tag("section", view.figures(manifest)),
                tag(
                    "section",
                    tag("div", tag("h2", "Class balance"), view.balance(manifest)),
                    view.identity(record, manifest),
                    class_="grid two",
                ),
                section("Dropped and left out", view.dropped(manifest)),
                section("Validation", view.validation(found.evidence.validation, docs)),
                tag("section", tag("h2", "Label queue"), queue(found.labels), id="labels"),
                section("Dataset versions", view.versions(found.versions, record.run_id)),
                tag(
                    "section",
                    tag("h2", "Samples"),
                    _filters(found),
                    view.browser(found.shots, found.total, found.number, target, found.said),
                    id="samples",
                ),
            ]
        )
    )


def _filters(found: DatasetPageData) -> Html:
    """A form that works without script: it asks for the page with other words."""

    def choice(name: str, label: str, options: list[str], chosen: str) -> Html:
        shown = [tag("option", "any", value="")] + [
            tag("option", o, value=o, selected="" if o == chosen else None) for o in options
        ]
        return tag(
            "div",
            tag("label", label, for_=name),
            tag("select", *shown, id=name, name=name),
            class_="field",
            style="margin:0",
        )

    filters, table = found.filters, found.table
    kept = tag("input", type="hidden", name="run", value=found.evidence.record.run_id)
    only = tag(
        "label",
        tag("input", type="checkbox", name="mistakes", value="1", checked="" if found.mistakes else None),
        " only mistakes",
        style="display:flex;gap:8px;align-items:center;min-height:40px",
    )
    choices = [
        choice("label", "Label", list(table.manifest.classes), filters.label),
        choice("split", "Split", list(SPLITS), filters.split),
        choice("predicted", "Predicted (of the test split)", list(table.manifest.classes), found.predicted),
    ]
    if table.cohorts:
        offered = table.cohorts
        if filters.cohort and filters.cohort not in offered:
            offered = [filters.cohort, *offered]
        choices.append(choice("cohort", "Cohort", offered, filters.cohort))
    button = tag("button", "Show", type="submit", class_="button")
    style = "display:flex;gap:12px;flex-wrap:wrap;align-items:end;margin-bottom:14px"
    form = tag("form", kept, *choices, only, button, method="get", action="/data#samples", style=style)
    return join([form, tag("p", table.cohorts_left, class_="soft small") if table.cohorts_left else ""])
