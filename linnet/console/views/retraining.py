"""The newest decision on retraining, and the ledger. Records in, markup out."""

from __future__ import annotations

from linnet.console.markup import (
    Html,
    address,
    card,
    chip,
    empty,
    facts,
    link,
    of_all,
    prose,
    table,
    tag,
    when,
)
from linnet.console.production_status import Retraining
from linnet.records import RetrainingEntry


def retraining(found: Retraining, currency: str, allowed: float) -> Html:
    """The newest decision with its conditions, and the ledger."""
    if found.problem:
        return tag("p", prose(found.problem), class_="problem", role="alert")
    if found.newest is None and not found.entries:
        hint = "Monitoring and alerts ask the policy whether a run is due; `linnet retraining check` asks it now."
        return empty("The policy decided nothing yet", hint)
    parts: list[object] = []
    if (newest := found.newest) is not None:
        conditions = [
            (
                chip("met" if one.met else "not met", "good" if one.met else "", mark=True),
                one.name,
                tag("span", one.detail, class_="soft small"),
            )
            for one in newest.conditions
        ]
        verdict = chip(
            "a run was asked for" if newest.request else "no run", "good" if newest.request else ""
        )
        parts.append(
            card(
                "The newest decision",
                tag("p", verdict, f" {newest.reason} · asked by {newest.source} · ", when(newest.at)),
                tag(
                    "details",
                    tag("summary", "Its conditions"),
                    table(("", "Condition", "Found"), conditions, "Conditions"),
                ),
                facts(
                    (
                        ("Cost in 30 days", f"{found.spent:g} of {allowed:g} {currency}"),
                        ("Failures in a row", found.failures),
                    )
                ),
            )
        )
    if found.entries:
        head = ("When", "Event", "Run", "?Actor", "Reason")
        parts.append(table(head, [_entry(entry) for entry in found.entries], "Retraining ledger"))
        parts.append(of_all(len(found.entries), found.count, "lines, the newest"))
    return tag("div", *parts, class_="stack")


def _entry(entry: RetrainingEntry) -> tuple[object, ...]:
    what = f"{entry.kind} {entry.state}".strip()
    helped = {True: "good", False: "bad", None: ""}[entry.helped]
    return (
        when(entry.at),
        chip(what.replace("-", " "), helped),
        link(entry.run_id, address("runs", entry.run_id)) if entry.run_id else "",
        entry.actor,
        tag("span", entry.decision.reason if entry.decision else entry.reason, class_="soft small"),
    )
