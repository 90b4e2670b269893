"""Thirty days in which everything is as promised: nobody is woken once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.monitoring.promtool import JOB, MODEL, Scenario, gauge, refusals, requests

STEP, EVERY, DAYS = 150, 300, 30
"""Seconds between samples and between evaluations: no burn can come and go between two of them, as the
shortest window is as long."""
SCRAPES = DAYS * 86400 // STEP
A_DAY = 86400 // STEP


def growing(counts: np.ndarray, restarts: list[int]) -> str:
    """A counter, which begins anew where the server was started again."""
    values, start = np.concatenate([[0], np.cumsum(counts)]), 0
    for at in restarts:
        values[at:] -= values[at - 1]
        start = at
    assert start <= len(values)
    return " ".join(str(int(value)) for value in values)


@pytest.mark.proof
@pytest.mark.timeout(900)
def test_thirty_clean_days_page_never(tmp_path: Path) -> None:
    """Traffic that swells and ebbs, half of each budget used up by chance, restarts, and weekly canaries
    of which one fails until it is rolled back. `ALERTS` is asked over all moments of the month."""
    rng = np.random.default_rng(0)
    day = np.arange(SCRAPES) % A_DAY / A_DAY
    rate = rng.poisson(STEP * (6 + 5 * np.sin(2 * np.pi * day)))
    failed, slow = rng.binomial(rate, 0.0005), rng.binomial(rate, 0.005)
    wrong = rng.binomial(rate, 0.005)
    restarts = [9 * A_DAY, 23 * A_DAY]
    up = f"up{{{JOB}}}"
    loaded = f'linnet_model_loaded{{model="{MODEL}",version="1",role="champion",{JOB}}}'
    candidate = f'linnet_model_loaded{{model="{MODEL}",version="2",role="candidate",{JOB}}}'
    begins = 14 * A_DAY
    canary = np.zeros(SCRAPES, dtype=int)
    canary[begins] = 15  # a bad candidate at 1 %, until the judge rolls it back within seconds
    labels = f'model="{MODEL}",version="1"'
    series = {
        up: gauge((SCRAPES, 1)),
        loaded: gauge((SCRAPES, 1)),
        candidate: gauge((begins, "_"), (3, 1), (SCRAPES - begins - 3, "stale")),
        requests("ok"): growing(rate - failed, restarts),
        requests("failed"): growing(failed, restarts),
        requests("failed", "2"): growing(canary, []),
        refusals(415): growing(wrong, restarts),
        f"linnet_request_seconds_count{{{labels}}}": growing(rate, restarts),
        f'linnet_request_seconds_bucket{{{labels},le="0.1"}}': growing(rate - slow, restarts),
    }
    end = DAYS * 86400 - EVERY
    Scenario(
        series,
        {},
        step=STEP,
        every=EVERY,
        groups=("burn", "server"),
        without="3d",  # of the ticket, and most of the time
        values=[
            (end, f'count(count_over_time(ALERTS{{severity="page"}}[{DAYS}d]))', []),
            # It would have seen them: the recorded burn is there, and lies about where it was put.
            (end, 'round(avg_over_time(linnet:burn:rate6h{slo="latency"}[29d]), 0.1)',
             [(f'{{model="{MODEL}",slo="latency",version="1"}}', 0.5)]),
            (end, f'count(count_over_time(ALERTS{{alertname="LinnetRollout"}}[{DAYS}d]))', [("{}", 1.0)]),
        ],
    ).check(tmp_path, timeout=600)  # fmt: skip
