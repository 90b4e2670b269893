"""`rollout.html`: what happened in a release, for a person with five seconds. No script, no network."""

from __future__ import annotations

from html import escape
from itertools import pairwise

from linnet.deployment.plot import metric_plot, share_plot
from linnet.pages.document import document
from linnet.pages.palette import ROOT
from linnet.records import JudgeSnapshot, MetricJudgement, RolloutDecision

_VERDICTS = {
    "promote": ("good", "Promoted"),
    "rollback": ("bad", "Rolled back"),
    "inconclusive": ("unknown", "Not promoted: inconclusive"),
    "proceed": ("unknown", "Unfinished"),
}
_TITLES = {
    "errors": ("Failed requests, more than the champion's", "Failed requests"),
    "validity": ("Invalid predictions, more than the champion's", "Invalid predictions"),
    "median": ("Median latency, times the champion's", "Median latency"),
    "p95": ("p95 latency, times the champion's", "p95 latency"),
    "p99": ("p99 latency, times the champion's", "p99 latency"),
    "agreement": ("Same answer as the champion", "Agreement"),
    "class_mix": ("Share of a predicted class, shift", "Class mix"),
    "confidence": ("Mean confidence, shift", "Confidence"),
    "accuracy": ("Accuracy, against the champion's", "Accuracy"),
}
_RATIOS = ("median", "p95", "p99")
_LEAST = ("agreement", "accuracy")
_BOTH_WAYS = ("class_mix", "confidence")
_ORDER = {"bad": 0, "unknown": 1, "good": 2}
_STYLE = (
    ROOT
    + """
*{box-sizing:border-box}body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);
max-width:820px;margin:1.5rem auto;padding:0 1rem}
h1{margin:0;font-size:1.9rem;line-height:1.2}h2{font-size:1.05rem;margin:1.6rem 0 .5rem}p{margin:.3rem 0}
h3{font-size:.92rem;margin:0;font-weight:600}.good{color:var(--good)}.bad{color:var(--bad)}
.unknown{color:var(--warn)}.soft{color:var(--soft);font-size:.86rem;line-height:1.4}
header{border-left:6px solid;padding:.1rem 0 .1rem .9rem;margin-bottom:1rem}header p{color:var(--ink)}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:.7rem .8rem}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(340px,1fr));gap:.8rem}
.top{display:flex;justify-content:space-between;gap:.5rem;align-items:center}
.chip{color:var(--on);border-radius:99px;padding:.05rem .6rem;font-size:.8rem;font-weight:600;flex:none}
.chip.good{background:var(--good)}.chip.bad{background:var(--bad)}.chip.unknown{background:var(--warn)}
svg{width:100%;height:auto;display:block}svg text{font:11px system-ui,sans-serif;fill:var(--soft)}
.axis{stroke:var(--line)}.step{stroke:var(--line);stroke-dasharray:2 3}
.share{fill:var(--accent);opacity:.35}svg text.percent{fill:var(--ink);font-weight:600}
.mark line{stroke:var(--warn);stroke-dasharray:3 3}.mark circle{fill:var(--warn)}
.mark text{fill:var(--warn)}line.end{stroke-width:2;stroke:currentColor}
svg text.verdict{font-size:13px;font-weight:700;fill:currentColor}
.band{fill:var(--accent);opacity:.22}.value{stroke:var(--accent);stroke-width:2;fill:none}
.margin{stroke:var(--bad);stroke-dasharray:5 4}.forbidden{fill:var(--bad);opacity:.1}
circle.good{fill:var(--good)}circle.bad{fill:var(--bad)}circle.unknown{fill:var(--warn)}
table{border-collapse:collapse;width:100%;font-size:.9rem}th,td{text-align:left;
padding:.3rem .6rem .3rem 0;border-bottom:1px solid var(--line);vertical-align:top}
td.n,th.n{text-align:right}tr:last-child td{border:0}
"""
)
LEGEND = (
    "Blue: the estimate and where the true value lies, at every moment at once. Red: not allowed. "
    "Promoted only when every band lies outside the red; rolled back as soon as one lies inside it."
)


def render(decision: RolloutDecision, looks: list[JudgeSnapshot]) -> str:
    """The page as HTML; `looks` are what the judge saw, in order of time."""
    kind, title = _VERDICTS[decision.verdict]
    seconds = (decision.ended_at - decision.started_at).total_seconds()
    against = f"against champion {decision.champion}" if decision.champion else "with no champion before it"
    asked = sum(step.candidate_requests for step in decision.steps)
    parts = [
        f"<header class={kind}><h1>{title}</h1>",
        f"<p><b>{escape(decision.model)}</b> version {escape(decision.version)} {escape(against)}</p>",
        f"<p>{escape(decision.reason)}</p>",
        f"<p class=soft>{decision.started_at:%Y-%m-%d %H:%M:%S} UTC, {seconds:.0f} s, "
        f"{asked:,} candidate requests</p></header>",
    ]
    parts += [
        f"<p class=soft>Gate {escape(gate.name)}, judged again: {escape(gate.evidence)}</p>"
        for gate in decision.gates
        if gate.passed  # one that failed is the reason
    ]
    if looks:
        shares = [(look.seconds, look.percent) for look in looks]
        plot = share_plot(shares, decision.marks, title, kind)
        parts.append(f"<h2>Traffic that the candidate answers</h2><div class=card>{plot}</div>")
        parts.append(f"<h2>What the judge watched</h2><p class=soft>{LEGEND}</p>")
        parts.append(metric_cards(looks, alone=decision.champion is None))
    parts.append(_steps(decision) + _marks(decision))
    return document(title, _STYLE, "".join(parts))


def metric_cards(looks: list[JudgeSnapshot], *, alone: bool) -> str:
    """Every metric of the newest look over time, what is wrong first; `alone`: there is no champion."""
    last = sorted(looks[-1].judgements, key=lambda item: _ORDER[item.verdict])
    return f"<div class=cards>{''.join(_card(item, looks, alone=alone) for item in last)}</div>"


def _card(judgement: MetricJudgement, looks: list[JudgeSnapshot], *, alone: bool) -> str:
    """One metric over time: estimate, its band, where it must not be, and the last verdict."""
    metric, verdict = judgement.metric, judgement.verdict
    title = _TITLES.get(metric, (metric, metric))[1 if alone else 0]
    series = [
        (look.seconds, item.low, _estimate(item, alone=alone), item.high)
        for look in looks
        for item in look.judgements
        if item.metric == metric
    ]
    margin = judgement.margin
    below = margin if metric in _LEAST else -margin if metric in _BOTH_WAYS else None
    above = None if metric in _LEAST else margin
    values = {value for value in (below, above) if value is not None}
    values |= {0.0} if metric not in (*_RATIOS, *_LEAST) and not alone else set()
    values |= {1.0} if metric in _RATIOS and not alone else set()
    ordered = sorted(values, key=lambda value: abs(value) != abs(margin))  # limits before zero
    labels = [(value, _number(metric, value, alone=alone)) for value in ordered]
    changes = [before.seconds for before, after in pairwise(looks) if before.percent != after.percent]
    plot = metric_plot(series, (below, above), labels, changes, verdict, f"{title}: {verdict}")
    chip = f"<span class='chip {verdict}'>{verdict}</span>"
    head = f"<div class=top><h3>{escape(title)}</h3>{chip}</div>"
    return f"<div class=card>{head}{plot}<p class=soft>{escape(judgement.evidence)}</p></div>"


def _estimate(item: MetricJudgement, *, alone: bool) -> float:
    if alone or item.metric == "agreement":
        return item.candidate
    if item.metric in _RATIOS:
        return item.candidate / item.champion if item.champion > 0 else float("nan")
    return item.candidate - item.champion


def _number(metric: str, value: float, *, alone: bool) -> str:
    if metric in _RATIOS:
        return f"{value:.0f} ms" if alone else f"{value:.3g} x"
    if metric == "confidence":
        return f"{value:g}"
    return f"{100 * value:.3g} %"


def _steps(decision: RolloutDecision) -> str:
    rows = "".join(
        f"<tr><td class=n>{step.percent} %<td class=n>{step.seconds:.1f}"
        f"<td class=n>{step.champion_requests:,}<td class=n>{step.candidate_requests:,}"
        f"<td>{step.verdict}<td>{escape(step.reason)}"
        for step in decision.steps
    )
    names = "".join(f"<th class=n>{name}" for name in ("Traffic", "Seconds", "Champion", "Candidate"))
    head = f"<tr>{names}<th>Verdict<th>Why"
    title = "<h2>Steps (requests computed, mirrored ones included)</h2>"
    return f"{title}<div class=card><table>{head}{rows}</table></div>" if rows else ""


def _marks(decision: RolloutDecision) -> str:
    rows = "".join(
        f"<tr><td class=n>{mark.seconds:.0f}<td>{escape(mark.what)}<td>{escape(mark.by)}"
        f"<td>{escape(mark.reason)}"
        for mark in decision.marks
        if not mark.what.endswith("%")
    )
    head = "<tr><th class=n>Second<th>What<th>Who<th>Why"
    title = "<h2>What people did, and what else is to know</h2>"
    return f"{title}<div class=card><table>{head}{rows}</table></div>" if rows else ""
