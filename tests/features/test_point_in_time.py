"""Point-in-time joins of the real Feast store against a brute-force oracle, over random histories.

Ties of event times, backfills (written long after the event), future events, rows that expired, values
that were never written, and questions in time zones with and without daylight saving.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from linnet.features.history import _replace
from linnet.features.store import FeatureStore
from linnet.vision.statistics import FEATURES

INPUT = "8x8x1-squash"
START = datetime(2024, 3, 30, 22, tzinfo=UTC)  # clocks in Europe go forward three hours later
ZONES = ("UTC", "Asia/Kolkata", "Europe/Berlin", "America/St_Johns", "Pacific/Chatham", "Asia/Kathmandu")
QUESTIONS = 3


def histories(rng: np.random.Generator, entities: int) -> pd.DataFrame:
    """Up to seven rows an entity, in random order; the first value of a row is its number."""
    rows = []
    for entity in range(entities):
        count = int(rng.integers(0, 8))
        events = rng.integers(0, 7, count) * 1800  # few distinct half hours: ties
        delay = np.where(rng.random(count) < 0.4, rng.integers(0, 40_000, count), 0)  # backfills
        created = events + delay + np.arange(count)  # of two ties one was written last
        for event, made in zip(events, created, strict=True):
            values = rng.random(len(FEATURES), np.float32)
            values[0] = len(rows)
            moments = (START + timedelta(seconds=int(value)) for value in (event, made))
            rows.append((f"{entity:032x}", *moments, *values))
    frame = pd.DataFrame(rows, columns=["sample_id", "event_timestamp", "created", *FEATURES])
    for name in FEATURES:
        frame[name] = frame[name].astype(np.float32)
    frame["model_input"] = INPUT
    return frame.sample(frac=1, random_state=int(rng.integers(1 << 30)), ignore_index=True)


def oracle(
    rows: list[tuple[datetime, datetime, float]], moment: datetime, ttl: timedelta, by_then: bool
) -> float | None:
    """The number of the row that holds at `moment`, by looking at every row of the entity."""
    fitting = [
        (event, created, number)
        for event, created, number in rows
        if event <= moment and not (by_then and created > moment) and not (ttl and moment - event > ttl)
    ]
    return max(fitting)[2] if fitting else None


def check(entities: int, seed: int, ttl: timedelta, by_then: bool) -> int:
    """Joins `entities` histories at three times each; gives how many answers there were."""
    rng = np.random.default_rng(seed)
    history = histories(rng, entities)
    store = FeatureStore(f"oracle{seed}")
    _replace(store.offline / "image_statistics.parquet", history)
    if ttl:
        view = store.feast.get_feature_view("image_statistics")
        view.ttl = ttl
        store.feast.apply([view])
    ids, times = [], []
    for entity in range(entities):
        for _ in range(QUESTIONS):
            zone = ZoneInfo(ZONES[int(rng.integers(len(ZONES)))])
            ids.append(f"{entity:032x}")
            times.append((START + timedelta(seconds=int(rng.integers(-2, 16)) * 900)).astimezone(zone))
    answer = store.historical("image_classifier_v1", FEATURES, ids, times, by_then, INPUT)
    answer = answer.to_numpy(np.float32)
    by_entity: dict[str, list[tuple[datetime, datetime, float]]] = {}
    values = {}
    for row in history.itertuples(index=False):
        by_entity.setdefault(row[0], []).append((row[1], row[2], float(row[3])))
        values[float(row[3])] = np.array(row[3:-1], np.float32)
    known = 0
    for found, entity, moment in zip(answer, ids, times, strict=True):
        number = oracle(by_entity.get(entity, []), moment, ttl, by_then)
        if number is None:
            assert np.isnan(found).all(), (entity, moment, "a value where there is none")
            continue
        known += 1
        assert np.array_equal(found, values[number]), (entity, moment)
        event, created = next((e, c) for e, c, n in by_entity[entity] if n == float(found[0]))
        assert event <= moment
        assert created <= moment or not by_then, "a value that was created after the entity's time"
    assert 0.2 < known / len(ids) < 0.95, "both kinds of answers must have been tested"
    return known


CASES = [
    (timedelta(0), False),
    (timedelta(0), True),
    (timedelta(minutes=45), False),
    (timedelta(hours=1), True),
]


@pytest.mark.parametrize(("ttl", "by_then"), CASES)
def test_join_equals_the_oracle(ttl: timedelta, by_then: bool) -> None:
    check(150, CASES.index((ttl, by_then)), ttl, by_then)


@pytest.mark.proof
@pytest.mark.parametrize(("ttl", "by_then"), CASES)
def test_two_thousand_histories_equal_the_oracle(ttl: timedelta, by_then: bool) -> None:
    seed = 100 + CASES.index((ttl, by_then))
    assert check(2000, seed, ttl, by_then) > 1000


def test_machines_own_time_zone_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    before = os.environ.get("TZ")
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    try:
        check(40, 50, timedelta(hours=1), True)
    finally:
        monkeypatch.setenv("TZ", before) if before else monkeypatch.delenv("TZ")
        time.tzset()
