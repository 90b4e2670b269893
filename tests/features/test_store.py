"""The Feast adapter: point-in-time joins against brute force, definitions, and settings."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from linnet.features.history import _replace
from linnet.features.store import REPO, FeatureStore
from linnet.vision.statistics import FEATURES

INPUT = "8x8x1-squash"
START = datetime(2024, 3, 30, tzinfo=UTC)


def histories(random: np.random.Generator, samples: int) -> pd.DataFrame:
    """Random rows: few distinct event times (ties), and `created` up to days after the event (backfills)."""
    rows = []
    for sample in range(samples):
        times = random.integers(0, 6, random.integers(0, 8))
        created = random.permutation(1000)[: len(times)]  # distinct: which of two ties wins is defined
        for hour, offset in zip(times, created, strict=True):
            rows.append(
                {
                    "sample_id": f"{sample:032x}",
                    "model_input": INPUT,
                    "event_timestamp": START + timedelta(hours=int(hour)),
                    "created": START + timedelta(seconds=int(offset) * 30),
                    **dict(zip(FEATURES, random.random(len(FEATURES), np.float32), strict=True)),
                }
            )
    return pd.DataFrame(rows).sample(frac=1, random_state=1, ignore_index=True)


def brute_force(
    history: pd.DataFrame, sample_id: str, moment: datetime, ttl: timedelta, created_by_then: bool
) -> list[float] | None:
    """The values that held at `moment`, by looking at every row."""
    best = None
    for row in history.to_dict("records"):
        age = moment - row["event_timestamp"]
        if row["sample_id"] != sample_id or age < timedelta(0) or (ttl and age > ttl):
            continue
        if created_by_then and row["created"] > moment:
            continue
        key = (row["event_timestamp"], row["created"])
        if best is None or key > best[0]:
            best = key, [row[name] for name in FEATURES]
    return None if best is None else best[1]


def questions(random: np.random.Generator, samples: int) -> tuple[list[str], list[datetime]]:
    """Every sample at several times, on and off the events' times, in different time zones."""
    ids, times = [], []
    for sample in range(samples):
        for _ in range(3):
            zone = timezone(timedelta(hours=int(random.integers(-11, 13))))
            ids.append(f"{sample:032x}")
            minutes = int(random.integers(-2, 16)) * 30
            times.append((START + timedelta(minutes=minutes)).astimezone(zone))
    return ids, times


@pytest.mark.parametrize(("hours", "created_by_then"), [(0, False), (2, False), (0, True), (2, True)])
def test_point_in_time_join_equals_brute_force(hours: int, created_by_then: bool) -> None:
    random = np.random.default_rng(hours)
    history = histories(random, 300)
    store = FeatureStore("joins")
    _replace(store.offline / "image_statistics.parquet", history)
    ttl = timedelta(hours=hours)
    if hours:
        view = store.feast.get_feature_view("image_statistics")
        view.ttl = ttl
        store.feast.apply([view])
    ids, times = questions(random, 300)
    answer = store.historical("image_classifier_v1", FEATURES, ids, times, created_by_then, INPUT)
    answer = answer.to_numpy(np.float32)
    by_sample = dict(iter(history.groupby("sample_id")))
    empty = history.head(0)
    missing = 0
    for row, (sample_id, moment) in enumerate(zip(ids, times, strict=True)):
        expected = brute_force(by_sample.get(sample_id, empty), sample_id, moment, ttl, created_by_then)
        missing += expected is None
        expected = [np.nan] * len(FEATURES) if expected is None else expected
        same = np.array_equal(answer[row], np.array(expected, np.float32), equal_nan=True)
        assert same, (sample_id, moment)
    assert 50 < missing < 850, "both kinds of answers must have been tested"


def test_join_keeps_the_order_and_repeats_of_the_question() -> None:
    random = np.random.default_rng(5)
    history = histories(random, 20)
    store = FeatureStore("order")
    _replace(store.offline / "image_statistics.parquet", history)
    ids = [history["sample_id"][0], "f" * 32, history["sample_id"][0], history["sample_id"][1]]
    late = [START + timedelta(days=30)] * 4
    answer = store.historical("image_classifier_v1", FEATURES, ids, late, model_input=INPUT).to_numpy(
        np.float32
    )
    assert np.array_equal(answer[0], answer[2])
    assert np.isnan(answer[1]).all()
    assert not np.array_equal(answer[0], answer[3])


def test_definitions_are_applied_once_and_again_when_they_change(monkeypatch: pytest.MonkeyPatch) -> None:
    applied = []
    original = FeatureStore._apply
    monkeypatch.setattr(
        FeatureStore, "_apply", lambda self, feast: (applied.append(1), original(self, feast))
    )
    FeatureStore("once").apply()
    FeatureStore("once").apply()
    assert len(applied) == 1
    store = FeatureStore("once")
    store.mark(holds="something")
    assert FeatureStore("once").marked("holds") == "something"
    monkeypatch.setattr(FeatureStore, "definitions_digest", "another")
    assert FeatureStore("once").marked("holds") == ""
    FeatureStore("once").apply()
    assert len(applied) == 2


def test_feature_names_survive_feasts_join() -> None:
    # Feast 0.67 drops every column whose name ends in `_y` from a join.
    assert [name for name in FEATURES if name.endswith("_y")] == []


def test_projects_of_different_names_never_meet() -> None:
    projects = [FeatureStore(name).settings["project"] for name in ("a-b", "a_b", "a__b", "a_hb", "ab")]
    assert len(set(projects)) == len(projects)
    assert not any("-" in project for project in projects)


@pytest.mark.slow
def test_feasts_own_command_line_finds_nothing_to_change(tmp_path: Path) -> None:
    store = FeatureStore("by-hand")
    store.apply()
    answer = subprocess.run(
        [Path(sys.executable).parent / "feast", "-c", REPO, "plan"],
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "FEAST_FS_YAML_FILE_PATH": str(store.root / "feature_store.yaml"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert "No changes to registry" in answer.stdout
