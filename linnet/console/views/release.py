"""Releases: the live split of the traffic, and how earlier ones were decided. Records in, markup out."""

from __future__ import annotations

from collections.abc import Sequence

from linnet.console.markup import (
    Html,
    address,
    chip,
    empty,
    join,
    link,
    of_all,
    problem,
    section,
    split_bar,
    table,
    tag,
    when,
)
from linnet.console.sources import Canary, ServerStatus
from linnet.deployment.bake_report import bake_sentence
from linnet.deployment.page import LEGEND, metric_cards
from linnet.evaluation import plots
from linnet.pages.numbers import duration, number
from linnet.records import BakeReport, Interval, MetricJudgement, RolloutDecision


def live(served: ServerStatus, canary: Canary | None = None) -> Html:
    """Where the requests go now; a run that finds no server judges its canary on one of its own."""
    if not served.problem:
        champion, candidate = served.champion, served.candidate
        loaded = ", ".join(served.versions) or "none"
        about = join([f"Loaded: {loaded} · ", tag("code", served.url)])
        return _split(champion, candidate, served.percent if candidate else 0.0, about)
    if canary is None or not canary.alive:
        return empty("No server answers", served.problem)
    about = tag("span", "Replayed requests to a server of the run's own: no other one runs.")
    return _split(canary.champion or "none", canary.version, float(canary.percent), about)


def _split(champion: str, candidate: str, share: float, about: Html) -> Html:
    bars = split_bar(share)
    words = f"Version {champion or 'none'} answers {100 - share:g} % of the requests"
    if candidate:
        words += f", version {candidate} the other {share:g} %"
    return tag(
        "div",
        tag("h2", "Traffic now"),
        bars,
        tag("p", words + ".", style="margin-top:12px"),
        tag("p", about, class_="soft small"),
        class_="card",
    )


RELEASES = 10
"""The newest, in full."""
PHASES = {
    "running": ("under way", "accent"),
    "paused": ("paused", "warn"),
    "waiting": ("waits for approval", "warn"),
    "promoting": ("is being promoted", "good"),
    "returning": ("is being rolled back", "bad"),
}
"""A rollout's phases in words, with their colors."""


def canary(found: Canary) -> Html:
    """The rollout under way: its steps, and what the judge knows of each metric so far."""
    words, tone = PHASES.get(found.phase, (found.phase, ""))
    against = f"against champion {found.champion}" if found.champion else "with no champion before it"
    gone = (
        ""
        if found.alive
        else problem(
            "Its process is gone, so the candidate's traffic goes back to the champion by itself: the same "
            "`linnet run` again goes on from here, and Abort ends it."
        )
    )
    rows: list[tuple[object, ...]] = [
        (
            f"{step.percent} %",
            f"{step.candidate_requests:,}",
            duration(step.seconds),
            chip(step.verdict, mark=True),
            tag("span", step.reason, class_="soft small"),
        )
        for step in found.steps
    ]
    watched = max(found.seconds - sum(step.seconds for step in found.steps), 0.0)
    rows.append((f"{found.percent} %", "", duration(watched), chip(words, tone), ""))
    judged = (
        tag("div", Html(metric_cards(list(found.looks), alone=found.champion is None)), class_="judged")
        if found.looks
        else tag("p", "No checks yet.", class_="soft")
    )
    return join(
        [
            tag("h2", f"Canary of {found.model} {found.version} {against}"),
            gone,
            tag(
                "p",
                chip(words, tone),
                f" {found.percent} % of the traffic, {duration(found.seconds)} of watching",
            ),
            table((">Traffic", ">Requests", "?Time", "State", "Reason"), rows, "Steps of the canary"),
            tag("h3", "What the judge watches", style="margin-top:16px"),
            tag("p", LEGEND, class_="soft small"),
            judged,
        ]
    )


TRIALS = {
    "baking": ("on trial", "accent"),
    "kept": ("kept", "good"),
    "rollback": ("rolled back", "bad"),
    "superseded": ("ended", ""),
}
"""How a champion's trial stands, in words, with their colors."""


def trial(report: BakeReport | None) -> Html:
    """How the newest champion does since its canary, against the last one; nothing where none was on trial."""
    if report is None:
        return Html("")
    words, tone = TRIALS[report.verdict]
    return section(
        f"After the promotion: version {report.version} against version {report.last}",
        tag("p", chip(words, tone), f" {bake_sentence(report)} · looked at ", when(report.at)),
        problem(report.problem) if report.problem else "",
        tag("div", judgements(report.judgements), style="margin-top:12px") if report.judgements else "",
    )


def decision(run_id: str, rollout: RolloutDecision) -> Html:
    """One release: its steps, and what the judge thought of each metric at the last one."""
    rows = [
        (
            f"{step.percent} %",
            f"{step.candidate_requests:,}",
            f"{step.champion_requests:,}",
            duration(step.seconds),
            chip(step.verdict, mark=True),
            tag("span", step.reason, class_="soft small"),
        )
        for step in rollout.steps
    ]
    judged = rollout.steps[-1].judgements if rollout.steps else ()
    title = f"Version {rollout.version}" + (
        f" against champion {rollout.champion}" if rollout.champion else ", the first"
    )
    return section(
        title,
        tag(
            "p",
            chip(rollout.verdict, mark=True),
            f" {rollout.reason} · ",
            when(rollout.ended_at),
            " · ",
            link("the run", address("runs", run_id)),
        ),
        table((">Traffic", ">Candidate", "?>Champion", "?>Time", "Verdict", "Reason"), rows, "Steps"),
        tag("div", judgements(judged), style="margin-top:12px") if judged else "",
    )


def judgements(found: Sequence[MetricJudgement]) -> Html:
    """The judge's bounds on each metric, with its margin."""
    rows = []
    for one in found:
        interval = Interval(value=(one.low + one.high) / 2, low=one.low, high=one.high)
        low, high = plots.axis_around([interval], one.margin)
        picture = Html(plots.whisker(interval, low, high, one.margin, one.verdict != "bad"))
        rows.append(
            (
                tag("b", one.metric.replace("_", " ")),
                number(one.champion),
                number(one.candidate),
                picture,
                chip(one.verdict, {"good": "good", "bad": "bad"}.get(one.verdict, "")),
                tag("span", one.evidence, class_="soft small"),
            )
        )
    return table(
        ("Metric", ">Champion", ">Candidate", "?Bounds and margin", "Judged", "Evidence"), rows, "Judgements"
    )


def history(found: Sequence[tuple[str, RolloutDecision]]) -> Html:
    """The newest releases that runs here came to, in full."""
    if not found:
        return empty("No release yet", "A candidate that passes its gates is released behind a canary.")
    earlier = [
        tag(
            "details",
            tag("summary", f"Version {rollout.version}: {rollout.verdict}"),
            decision(run_id, rollout),
        )
        for run_id, rollout in found[1:RELEASES]
    ]
    note = of_all(len(earlier) + 1, len(found), "releases, the newest; the page of its run has each")
    return join([decision(*found[0]), *earlier, note])
