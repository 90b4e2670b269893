"""What production does: traffic, latency, failures, the mix of classes. Records in, markup out."""

from __future__ import annotations

from linnet.console.charts import columns
from linnet.console.markup import Html, card, empty, join, section, table, tag, tile, tiles, when
from linnet.console.prediction_log import LogSummary
from linnet.console.views.overview import class_bars
from linnet.pages.numbers import percent


def page(log: LogSummary, trained: dict[str, int]) -> Html:
    """The whole page; `trained`: training images a class, to hold the answers against."""
    if not log.requests:
        hint = "Serve the champion with `linnet up`, and ask it: each answer is logged."
        return section("Traffic", empty("No predictions are logged yet", hint))
    failed = log.failed / log.requests
    far = distance(log.classes, trained)
    note = "total variation; 0: as in training" if trained else "the training counts are not here"
    return join(
        [
            tag(
                "section",
                tiles(
                    tile("Answered", f"{log.requests:,}", join(["since ", when(log.first, ago=True)])),
                    tile(
                        "Failed",
                        percent(failed, 2),
                        f"{log.failed:,} requests",
                        "bad" if failed > 0.01 else "good",
                    ),
                    tile("Latency p50", f"{log.p50_ms:.1f} ms"),
                    tile("Latency p95", f"{log.p95_ms:.1f} ms"),
                    tile("Latency p99", f"{log.p99_ms:.1f} ms"),
                    tile("Class mix", f"{far:.3f}" if trained else "–", note),
                ),
            ),
            section("Answers per hour", card("", columns(log.hours, "Answers per hour"))),
            tag(
                "section",
                tag(
                    "div",
                    card("Classes answered", class_bars(log.classes)),
                    card("Versions that answered", _versions(log)),
                    class_="grid two",
                ),
            ),
        ]
    )


def distance(answered: dict[str, int], trained: dict[str, int]) -> float:
    """Total variation between the classes that were answered and those trained on: 0 to 1."""
    left, right = sum(answered.values()) or 1, sum(trained.values()) or 1
    names = {*answered, *trained}
    return sum(abs(answered.get(name, 0) / left - trained.get(name, 0) / right) for name in names) / 2


def _versions(log: LogSummary) -> Html:
    rows = [
        (f"Version {name}", f"{count:,}", percent(count / log.requests))
        for name, count in log.versions.items()
    ]
    return table(("Version", ">Answers", ">Share"), rows, "Versions that answered")
