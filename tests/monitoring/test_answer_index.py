"""Which files hold an answer: all are found; of too many an even share, whenever it came."""

from __future__ import annotations

from pathlib import Path

from linnet.monitoring.answer_index import AnswerIndex, Key


def keys(file: int, count: int) -> list[Key]:
    return [(f"{file}-{number}", number % 3) for number in range(count)]


def test_answers_are_found_in_all_files_that_hold_them() -> None:
    index = AnswerIndex()
    for file in range(5):
        index.add(Path(str(file)), [*keys(file, 40), ("again", 0)])
        assert index.find([("again", 0)]) == {Path(str(number)): {("again", 0)} for number in range(file + 1)}
    assert index.find([*keys(3, 40), ("none", 0)]) == {Path("3"): set(keys(3, 40))}
    assert index.one_in == 1 and AnswerIndex().find([("none", 0)]) == {}


def test_of_too_many_an_even_share_is_kept_whenever_it_came() -> None:
    index = AnswerIndex(most=1_000)
    for file in range(100):
        index.add(Path(str(file)), keys(file, 100))
        index.find([])
    found = [len(index.find(keys(file, 100)).get(Path(str(file)), ())) for file in range(100)]
    assert index.one_in == 16 and sum(found) <= 1_000
    early, late = sum(found[:50]), sum(found[50:])
    assert min(early, late) > 200, "neither the first nor the last of a trial"
