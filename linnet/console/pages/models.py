"""`/models` and `/models/NAME/VERSION`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from fastapi import FastAPI, Request
from nicegui import ui

from linnet.artifacts.onnx_model import PackagedModel
from linnet.console import explain, shell
from linnet.console.context import Context, role_of
from linnet.console.held_out import Judged, calibration, judged
from linnet.console.markup import (
    Html,
    address,
    chip,
    empty,
    heading,
    join,
    left_out,
    link,
    pager,
    section,
    tag,
)
from linnet.console.views import models as view
from linnet.console.views import run as run_view
from linnet.errors import LinnetError
from linnet.pages.numbers import percent
from linnet.records import LedgerEntry, ModelPackage, ModelVersion
from linnet.report.evidence import RunEvidence
from linnet.vision.thumbnail import thumbnail

T = TypeVar("T")

PLACE = 4
NAV = shell.NavItem(
    "Models", "/models", '<path d="M12 3l8 4.5v9L12 21l-8-4.5v-9zM4 7.5l8 4.5 8-4.5M12 12v9"/>'
)

SHOTS = 12


@dataclass(frozen=True)
class ModelPageData:
    """All that the page of one version shows."""

    version: ModelVersion
    champion: ModelVersion | None
    package: ModelPackage | None
    evidence: RunEvidence | None
    other: RunEvidence | None
    """Of the champion that it was compared with."""
    judged: Judged | None
    ledger: list[LedgerEntry]
    unread: list[str] = field(default_factory=list)
    """What is missing here, and why."""


@dataclass(frozen=True)
class Listed:
    """A model on the page of all."""

    name: str
    versions: list[ModelVersion]
    ledger: list[LedgerEntry]
    unread: list[str]
    """Why one of them is missing."""


def register(context: Context, app: FastAPI) -> None:
    """Adds the pages."""

    @ui.page("/models", title="Models · Linnet")
    async def listing(request: Request, page: int = 0, of: str = "") -> None:
        with shell.frame("Models", role_of(request)):
            shell.head("Models", "Versions with their evidence, and who made them champion.")
            await shell.shown(
                lambda: [listed(context, name) for name in context.sources.models()],
                lambda found: _list(
                    context, request, found, max(page, 0), of or (found[0].name if found else "")
                ),
            )

    @ui.page("/models/{name}/{version}", title="Model version · Linnet")
    async def one(request: Request, name: str, version: str) -> None:
        with shell.frame("Models", role_of(request)):
            await shell.shown(
                lambda: _load(context, name, version), lambda found: _version(context, request, found)
            )
            await shell.shown(lambda: _mistakes(context, name, version), shell.html)


def listed(context: Context, name: str) -> Listed:
    """A model with its versions and its ledger, whichever of them can be read."""
    unread: list[str] = []

    def read(what: str, of: Callable[[str], list[T]]) -> list[T]:
        try:
            return of(name)
        except LinnetError as error:
            unread.append(f"{what} of {name}: {error}")
            return []

    versions, ledger = read("versions", context.sources.versions), read("ledger", context.sources.ledger)
    return Listed(name, versions, ledger, unread)


def _list(context: Context, request: Request, found: list[Listed], page: int, of: str) -> None:
    """All models; `page` is that of the versions of the model `of`, and the others begin with their newest."""
    if not found:
        shell.html(
            empty(
                "No model is registered yet",
                join(["A run registers one when its gates pass: ", link("see the runs", "/runs"), "."]),
            )
        )
        return
    for one in found:
        with ui.element("section"):
            with ui.element("div").classes("top"):
                shell.html(tag("h2", one.name))
                earlier = sum(entry.action == "promote" for entry in one.ledger) > 1
                if context.operator(request).may_act and earlier:
                    _rollback(context, request, one.name)
            shell.html(versions_of(one, page if one.name == of else 0))
        shell.html(section("Ledger", view.ledger_table(one.ledger, most=20)))


def versions_of(one: Listed, page: int) -> Html:
    """A page of a model's versions."""
    part = one.versions[page * view.PAGE : (page + 1) * view.PAGE]
    pages = pager(page, view.PAGE, len(one.versions), address("models", of=one.name))
    return join([left_out(one.unread), view.versions_table(part), pages])


def _rollback(context: Context, request: Request, name: str) -> None:
    def act(reason: str) -> str:
        version = context.operator(request).rollback(name, reason)
        return address("models", name, version)

    text = "The champion before the present one becomes champion again, and a running server answers with it at once."
    shell.Button(
        "Roll back", shell.confirm(f"Roll {name} back?", text, "Roll back", act, danger=True), "danger"
    )


def _load(context: Context, name: str, version: str) -> ModelPageData:
    sources = context.sources
    found = sources.version(name, version)
    unread: list[str] = []
    evidence = sources.evidence_of(found, unread)
    comparison = evidence.evaluation.comparison if evidence and evidence.evaluation else None
    other = None
    if comparison is not None:
        rival = next((v for v in sources.versions(name) if v.version == comparison.champion), None)
        other = sources.evidence_of(rival, unread) if rival else None
    unread += evidence.unread if evidence else ()
    try:
        package = ModelPackage.load(sources.package(found) / "package.json")
    except LinnetError as error:
        package = None
        unread.append(f"the package: {error}")
    entries = [entry for entry in sources.ledger(name) if version in (entry.version, entry.previous)]
    return ModelPageData(
        found,
        sources.champion(name),
        package,
        evidence,
        other,
        judged(evidence.folder) if evidence else None,
        entries,
        unread,
    )


def _version(context: Context, request: Request, found: ModelPageData) -> None:
    version = found.version
    with ui.element("div").classes("top"):
        chips = join([chip(alias) for alias in version.aliases] or [chip("archived")])
        shell.html(heading(f"{version.name} {version.version}", chips, link("Models", "/models")))
        if context.operator(request).may_act and "champion" not in version.aliases:
            _promote(context, request, version)
    report = found.evidence.evaluation if found.evidence else None
    parts: list[object] = [
        left_out(found.unread),
        tag("section", view.figures(version, found.package, report)),
        tag(
            "section", view.against(version, found.champion, report), view.origin(version), class_="grid two"
        ),
    ]
    if found.evidence is None or report is None:
        away = "The run that made this version left its files elsewhere; MLflow holds its metrics."
        missing = ("The evidence is not whole", "Why stands above; MLflow holds the metrics.")
        parts.append(
            tag(
                "section",
                empty(*(missing if found.unread else ("The evidence is not on this machine", away))),
            )
        )
    else:
        other = found.other.evaluation if found.other else None
        names = (
            f"Version {version.version}",
            f"Champion {report.comparison.champion}" if report.comparison else "",
        )
        run_ids = (found.evidence.record.run_id, found.other.record.run_id if found.other else "")
        parts += [
            section("Gates", run_view.gates(found.evidence.gates, run_view.intervals_of(found.evidence))),
            view.confusion(report, other, names, run_ids),
            tag(
                "section",
                section(
                    "Cohorts, the worst first", view.cohorts(report.cohorts, report.metrics["accuracy"].value)
                ),
                _calibration(found),
                class_="grid two",
            ),
            section("Reports", run_view.pages(found.evidence)),
        ]
    parts.append(section("Ledger", view.ledger_table(found.ledger)))
    shell.html(join(parts))


def _promote(context: Context, request: Request, version: ModelVersion) -> None:
    def act(reason: str) -> str:
        context.operator(request).promote(version.name, version.version, reason)
        return address("models", version.name, version.version)

    text = "It becomes the champion without a canary, and a running server answers with it at once. Your name and reason are recorded in the ledger."
    shell.Button("Promote", shell.confirm(f"Promote {version.name} {version.version}?", text, "Promote", act))


def _calibration(found: ModelPageData) -> Html:
    report = found.evidence.evaluation if found.evidence else None
    if found.judged is None or report is None:
        return Html("")
    return view.reliability(*calibration(found.judged, report.temperature), report)


def _mistakes(context: Context, name: str, version: str) -> Html:
    """The most confident errors with what the model looked at; the slowest part, so it comes last."""
    found = context.sources.version(name, version)
    evidence = context.sources.evidence_of(found)
    known = judged(evidence.folder) if evidence else None
    if evidence is None or known is None:
        return Html("")
    if not len(known.order):
        return section(
            "Most confident errors",
            empty("No errors on the test split", "Every test sample was answered correctly."),
        )
    model = context.packaged(context.sources.package(found))
    figures = [_shot(model, known, int(row)) for row in known.order[:SHOTS]]
    hint = "The surest first. Right: blue supports the wrong answer, orange opposes it (occlusion)."
    more = link(
        f"All {len(known.order):,} mistakes",
        address("data", run=evidence.record.run_id, mistakes=1) + "#samples",
    )
    return section(
        "Worst mistakes",
        tag("p", hint, " ", more, class_="soft small"),
        tag(
            "div", *figures, class_="shots", style="grid-template-columns:repeat(auto-fill,minmax(210px,1fr))"
        ),
    )


def _shot(model: PackagedModel, known: Judged, row: int) -> Html:
    image = known.split.images[row]
    weights = explain.occlusion(model, image, int(known.telling[row]))
    words = (
        known.truth[row] or "none of the classes",
        " predicted as ",
        tag("b", known.said[row] or "none of them"),
        tag(
            "div",
            f"{percent(float(known.confidence[row]))} sure · ",
            link(known.split.ids[row][:8], address("samples", known.split.ids[row])),
            class_="soft",
        ),
    )
    pair = tag(
        "div",
        tag("img", src=thumbnail(image), alt="test sample"),
        tag("img", src=explain.heat(image, weights), alt="saliency map"),
        class_="pair",
    )
    return tag("figure", pair, tag("figcaption", *words))
