"""The routing table: who answers, stickiness, the split, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from linnet.errors import RequestRejected
from linnet.serving.router import RoutingTable, sticky_draw


def test_champion_alone_answers_everything() -> None:
    table = RoutingTable("1", None, percent=100)
    assert {table.choose(None, draw, 0.0).version for draw in (0.0, 0.5, 0.999)} == {"1"}
    assert table.choose(None, 0.0, 0.0).mirror is None


def test_candidate_without_champion_answers_everything() -> None:
    table = RoutingTable(None, "2", percent=1)
    assert table.choose(None, 0.99, 0.0).version == "2"


def test_empty_table_is_unavailable() -> None:
    with pytest.raises(RequestRejected) as caught:
        RoutingTable().choose(None, 0.5, 0.5)
    assert caught.value.status == 503


@pytest.mark.parametrize("percent", [0, 1, 25, 100])
def test_split_follows_percent(percent: int) -> None:
    table = RoutingTable("1", "2", percent)
    draws = np.random.default_rng(7).random(20_000)
    share = np.mean([table.choose(None, draw, 1.0).version == "2" for draw in draws])
    assert abs(share - percent / 100) <= 4 * np.sqrt(percent / 100 * (1 - percent / 100) / 20_000)


def test_same_key_meets_same_version_whatever_the_draw() -> None:
    table = RoutingTable("1", "2", 50)
    for key in ("ann", "bob", "eve"):
        assert len({table.choose(key, draw, 1.0).version for draw in (0.0, 0.3, 0.6, 0.99)}) == 1


def test_keys_split_by_percent_and_stay_when_it_rises() -> None:
    keys = [f"user-{i}" for i in range(10_000)]
    five = {key for key in keys if RoutingTable("1", "2", 5).choose(key, 0, 1).version == "2"}
    half = {key for key in keys if RoutingTable("1", "2", 50).choose(key, 0, 1).version == "2"}
    assert 400 <= len(five) <= 600 and 4_800 <= len(half) <= 5_200
    assert five <= half


def test_another_candidate_takes_other_keys() -> None:
    assert (
        abs(
            np.corrcoef(
                [(sticky_draw(str(i), "2"), sticky_draw(str(i), "3")) for i in range(4000)], rowvar=False
            )[0, 1]
        )
        < 0.06
    )


def test_mirror_goes_to_the_version_that_did_not_answer() -> None:
    table = RoutingTable("1", "2", 50, mirror=0.5)
    assert table.choose(None, 0.1, 0.4) == type(table.choose(None, 0, 0))("2", "1")
    assert table.choose(None, 0.9, 0.4).mirror == "2"
    assert table.choose(None, 0.9, 0.5).mirror is None


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ([], "JSON object"),
        ({"champ": "1"}, "fields"),
        ({"champion": 1}, "champion"),
        ({"champion": ""}, "champion"),
        ({"champion": "1", "candidate": "1"}, "candidate"),
        ({"champion": "1", "percent": 101}, "percent"),
        ({"champion": "1", "percent": -1}, "percent"),
        ({"champion": "1", "percent": True}, "percent"),
        ({"champion": "1", "percent": float("nan")}, "percent"),
        ({"champion": "1", "mirror": 1.5}, "mirror"),
    ],
)
def test_wrong_table_is_refused_by_field(values: object, named: str) -> None:
    with pytest.raises(RequestRejected, match=named) as caught:
        RoutingTable.parse(values)
    assert caught.value.status == 400


def test_values_round_trip() -> None:
    table = RoutingTable("1", "2", 5.0, 0.1)
    assert RoutingTable.parse(table.values()) == table
