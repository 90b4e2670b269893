"""Groups of users under the judge: one that fares worse is told, though the whole looks well.

A group (`serving.segments`) is only ever proven worse, never proven good: many are too small for that, and a
release must not wait for them. A small group that breaks fails often, so that the prior expects more failures
than it does of the whole traffic.
"""

from __future__ import annotations

from collections.abc import Mapping

from linnet.config import ReleaseConfig
from linnet.deployment.evidence import GroupCounts, share
from linnet.deployment.findings import percent
from linnet.deployment.sequential import SOME, difference_bounds
from linnet.records import MetricJudgement


def worse_groups(
    groups: Mapping[str, GroupCounts], config: ReleaseConfig, alpha: float
) -> tuple[MetricJudgement, ...]:
    """Groups whose share of failed requests is proven to have risen by more than the margin, in name order.

    `alpha`: bound on calling any that is no worse so, over all groups and looks.
    """
    each, margin = alpha / max(len(groups), 1), config.max_error_increase
    found = []
    for name in sorted(groups):
        counts = groups[name]
        ours, theirs = (counts.failed, counts.requests), (counts.champion_failed, counts.champion_requests)
        if not counts.failed or not counts.champion_requests:
            continue
        low, high = (float(bound) for bound in difference_bounds(ours, theirs, (each, each), SOME))
        if low > margin:
            told = (
                f"errors of {name} {percent(*ours)} against {percent(*theirs)}: between {low:+.2%} and "
                f"{high:+.2%}, at most {margin:+.2%} is allowed"
            )
            found.append(
                MetricJudgement(
                    metric=f"errors of {name}", champion=share(*theirs), candidate=share(*ours), low=low,
                    high=high, margin=margin, verdict="bad", evidence=told,
                )
            )  # fmt: skip
    return tuple(found)
