"""`rollout.html`: what happened in a release, for a person with five seconds. No script, no network."""

from __future__ import annotations

from html import escape
from math import isfinite

from linnet.page import document
from linnet.records import Look, MetricJudgement, RolloutDecision

_WIDTH, _HEIGHT = 680, 120
_LEFT, _RIGHT = 64, 10

_VERDICTS = {
    "promote": ("good", "Promoted"),
    "rollback": ("bad", "Rolled back"),
    "inconclusive": ("unsure", "Not promoted: inconclusive"),
    "proceed": ("unsure", "Unfinished"),
}
_TITLES = {
    "errors": ("Error rate, candidate minus champion", "Error rate"),
    "median": ("Median latency, candidate divided by champion", "Median latency in milliseconds"),
    "p95": ("p95 latency, candidate divided by champion", "p95 latency in milliseconds"),
    "agreement": ("Share of equal answers to mirrored requests", ""),
    "accuracy": ("Accuracy on labelled traffic, candidate minus champion", "Accuracy on labelled traffic"),
}
_RATIOS = ("median", "p95")
_STYLE = """
:root{color-scheme:light dark;--ink:#1b2430;--soft:#5d6b7c;--line:#d5dce5;--page:#fff;--good:#1a7f4b;
--bad:#c62f2f;--unsure:#9a6700;--band:#2f6fdb}
@media(prefers-color-scheme:dark){:root{--ink:#e6ebf2;--soft:#9aa7b6;--line:#354150;--page:#12171e;
--good:#4cc38a;--bad:#ff6b6b;--unsure:#e3b341;--band:#6ea8ff}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page);max-width:760px;
margin:2rem auto;padding:0 1rem}
h1{margin:.2rem 0;font-size:1.7rem}h2{font-size:1rem;margin:1.4rem 0 .2rem}p{margin:.3rem 0}
.good{color:var(--good)}.bad{color:var(--bad)}.unsure,.unknown{color:var(--unsure)}.soft{color:var(--soft)}
svg{width:100%;height:auto;display:block}svg text{font:11px system-ui,sans-serif;fill:var(--soft)}
.axis{stroke:var(--line)}.step{stroke:var(--line);stroke-dasharray:2 3}.share{fill:var(--band);opacity:.55}
.band{fill:var(--band);opacity:.22}.value{stroke:var(--band);stroke-width:2;fill:none}
.margin{stroke:var(--bad);stroke-dasharray:6 4}circle.good{fill:var(--good)}circle.bad{fill:var(--bad)}
circle.unknown{fill:var(--unsure)}
table{border-collapse:collapse;width:100%;margin-top:.4rem}th,td{text-align:left;
padding:.25rem .6rem .25rem 0;border-bottom:1px solid var(--line);vertical-align:top}
td.n,th.n{text-align:right}
"""


def render(decision: RolloutDecision, looks: list[Look]) -> str:
    """The page as HTML; `looks` are what the judge saw, in order of time."""
    kind, title = _VERDICTS[decision.verdict]
    seconds = (decision.ended_at - decision.started_at).total_seconds()
    against = f"against champion {decision.champion}" if decision.champion else "with no champion before it"
    asked = sum(step.candidate_requests for step in decision.steps)
    parts = [
        f"<h1 class={kind}>{title}</h1>",
        f"<p><b>{escape(decision.model)}</b> version {escape(decision.version)} {escape(against)}, "
        f"{seconds:.0f} s, {asked} candidate requests, {decision.started_at:%Y-%m-%d %H:%M:%S} UTC</p>",
        f"<p>{escape(decision.reason)}</p>",
    ]
    if looks:
        parts.append("<h2>Share of traffic that the candidate answers</h2>" + _share_plot(looks))
        for judgement in looks[-1].judgements:
            parts.append(_metric(judgement, looks, alone=decision.champion is None))
    parts.append(_table(decision))
    return document(title, _STYLE, "".join(parts))


class _Frame:
    """Maps time and value to pixels; values beyond the frame stop at its edge."""

    def __init__(self, end: float, low: float, high: float) -> None:
        self._end, self._low, self._high = max(end, 1e-9), low, high if high > low else low + 1.0

    def x(self, seconds: float) -> float:
        return round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * seconds / self._end, 1)

    def y(self, value: float) -> float:
        share = (min(max(value, self._low), self._high) - self._low) / (self._high - self._low)
        return round(_HEIGHT - 18 - (_HEIGHT - 28) * share, 1)

    def draw(self, body: str, labels: list[tuple[float, str]], looks: list[Look]) -> str:
        marks = "".join(f"<text x=4 y={self.y(value) + 4}>{escape(text)}</text>" for value, text in labels)
        steps = ""
        for before, after in zip([None, *looks], looks, strict=False):
            if before is None or before.percent != after.percent:
                x = self.x(before.seconds if before else 0.0)
                steps += f"<line class=step x1={x} x2={x} y1=10 y2={_HEIGHT - 18} />"
        bottom, right = _HEIGHT - 18, _WIDTH - _RIGHT
        axis = f"<line class=axis x1={_LEFT} x2={right} y1={bottom} y2={bottom} />"
        time = f"<text x={_LEFT} y={_HEIGHT - 4}>0 s</text>"
        time += f"<text x={right} y={_HEIGHT - 4} text-anchor=end>{self._end:.0f} s</text>"
        return f"<svg viewBox='0 0 {_WIDTH} {_HEIGHT}' role=img>{axis}{steps}{body}{marks}{time}</svg>"


def _share_plot(looks: list[Look]) -> str:
    frame = _Frame(looks[-1].seconds, 0.0, 100.0)
    points, before = [f"{frame.x(0)},{frame.y(0)}"], 0.0
    for look in looks:
        points += [
            f"{frame.x(before)},{frame.y(look.percent)}",
            f"{frame.x(look.seconds)},{frame.y(look.percent)}",
        ]
        before = look.seconds
    points.append(f"{frame.x(before)},{frame.y(0)}")
    shape = f"<polygon class=share points='{' '.join(points)}' />"
    return frame.draw(shape, [(0.0, "0 %"), (100.0, "100 %")], looks)


def _metric(judgement: MetricJudgement, looks: list[Look], *, alone: bool) -> str:
    """One metric over time: estimate, its band, the margin, and the last verdict."""
    metric = judgement.metric
    title = _TITLES[metric][1 if alone and _TITLES[metric][1] else 0]
    series = [(look.seconds, item) for look in looks for item in look.judgements if item.metric == metric]
    seen = [judgement.margin, *(v for v in (judgement.low, judgement.high) if isfinite(v))]
    spread = max(max(seen) - min(seen), abs(judgement.margin) * 0.5, 1e-4)
    frame = _Frame(looks[-1].seconds, min(seen) - 0.6 * spread, max(seen) + 0.6 * spread)
    upper = " ".join(f"{frame.x(at)},{frame.y(item.high)}" for at, item in series)
    lower = " ".join(f"{frame.x(at)},{frame.y(item.low)}" for at, item in reversed(series))
    values = [(at, _estimate(item, alone=alone)) for at, item in series]
    line = " ".join(f"{frame.x(at)},{frame.y(value)}" for at, value in values if isfinite(value))
    y, final = frame.y(judgement.margin), values[-1][1]
    dot = frame.y(final) if isfinite(final) else y
    body = (
        f"<polygon class=band points='{upper} {lower}' /><polyline class=value points='{line}' />"
        f"<line class=margin x1={_LEFT} x2={_WIDTH - _RIGHT} y1={y} y2={y} />"
        f"<circle class={judgement.verdict} cx={_WIDTH - _RIGHT} cy={dot} r=5 />"
    )
    words = f"<span class={judgement.verdict}>{judgement.verdict}</span>"
    plot = frame.draw(body, [(judgement.margin, _number(metric, judgement.margin, alone=alone))], looks)
    return f"<h2>{escape(title)}: {words}</h2>{plot}<p class=soft>{escape(judgement.evidence)}</p>"


def _estimate(item: MetricJudgement, *, alone: bool) -> float:
    if alone or item.metric == "agreement":
        return item.candidate
    if item.metric in _RATIOS:
        return item.candidate / item.champion if item.champion > 0 else float("nan")
    return item.candidate - item.champion


def _number(metric: str, value: float, *, alone: bool) -> str:
    if metric in _RATIOS:
        return f"{value:.0f} ms" if alone else f"{value:g} times"
    return f"{100 * value:.3g} %"


def _table(decision: RolloutDecision) -> str:
    rows = "".join(
        f"<tr><td class=n>{step.percent} %<td class=n>{step.seconds:.1f}<td class=n>{step.champion_requests}"
        f"<td class=n>{step.candidate_requests}<td>{step.verdict}<td>{escape(step.reason)}"
        for step in decision.steps
    )
    names = "".join(f"<th class=n>{name}" for name in ("Traffic", "Seconds", "Champion", "Candidate"))
    head = f"<tr>{names}<th>Verdict<th>Why"
    return f"<h2>Steps (requests computed, mirrored ones included)</h2><table>{head}{rows}</table>"
