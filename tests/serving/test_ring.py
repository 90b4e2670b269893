"""The ring of served records: order, paging, loss, restart."""

from __future__ import annotations

from linnet.serving.ring import ServedRing


def filled(count: int, capacity: int) -> ServedRing:
    ring = ServedRing(capacity)
    for i in range(count):
        ring.publish({"n": i + 1})
    return ring


def test_reader_that_follows_gets_each_record_once() -> None:
    ring = filled(7, 100)
    after, seen = 0, []
    while True:
        page = ring.since(after, 3)
        seen += [record["n"] for record in page["records"]]
        after = page["last"]
        if not page["more"]:
            break
    assert seen == [1, 2, 3, 4, 5, 6, 7] and after == 7
    assert ring.since(7) == {"last": 7, "lost": 0, "more": False, "records": []}


def test_overflow_is_reported_as_lost() -> None:
    page = filled(25, 10).since(5)
    assert page["lost"] == 10
    assert [record["n"] for record in page["records"]] == list(range(16, 26))


def test_sequence_from_an_earlier_server_starts_anew() -> None:
    page = filled(3, 10).since(500)
    assert page["last"] == 3 and len(page["records"]) == 3
