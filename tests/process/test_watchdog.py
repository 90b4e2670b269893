"""What ended is started again, at once and then with growing pauses; what was never started is left alone."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from linnet.errors import LinnetError
from linnet.process.watchdog import CALM_SECONDS, LONGEST_PAUSE, Watchdog
from linnet.records.restarts import PARTS, restarts, restarts_file, totals, write_restart


class Machine:
    """One part, a clock, and what was written down."""

    def __init__(self, problem: str = "") -> None:
        self.lives, self.problem, self.now = False, problem, 1000.0
        self.told: list[tuple[float, int, str]] = []
        self.dog = Watchdog({"server": lambda: self.lives}, {"server": self.start}, self.tell)

    def start(self) -> None:
        if self.problem:
            raise LinnetError(self.problem)
        self.lives = True

    def tell(self, part: str, attempt: int, problem: str) -> None:
        assert part == "server"
        self.told.append((self.now, attempt, problem))

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self.dog.tick(self.now)
            self.now += 1


def test_part_that_was_never_started_is_left_alone() -> None:
    machine = Machine()
    machine.run(100)
    assert not machine.told and not machine.lives


def test_killed_part_is_started_at_once_and_told() -> None:
    machine = Machine()
    machine.lives = True
    machine.run(5)
    machine.lives = False
    machine.run(5)
    assert machine.lives and machine.told == [(1005.0, 1, "")]


def test_pauses_grow_to_a_minute_and_the_reason_is_told() -> None:
    machine = Machine("the disk is full")
    machine.lives = True
    machine.run(1)
    machine.lives = False
    machine.run(400)
    moments = [at for at, _, _ in machine.told]
    pauses = [later - earlier for earlier, later in pairwise(moments)]
    assert pauses[:6] == [1, 2, 4, 8, 16, 32] and set(pauses[6:]) == {LONGEST_PAUSE}
    assert {problem for _, _, problem in machine.told} == {"the disk is full"}
    assert [attempt for _, attempt, _ in machine.told] == list(range(1, len(moments) + 1))


def test_part_that_ends_at_once_each_time_gets_longer_pauses_and_one_that_lived_short_ones() -> None:
    machine = Machine()
    machine.lives = True
    machine.run(1)
    for _ in range(40):  # it lives for less than a second
        machine.lives = False
        machine.run(1)
    assert len(machine.told) == 6, "after 0, 1, 3, 7, 15 and 31 seconds"
    machine.run(round(CALM_SECONDS) + 64)
    machine.lives = False
    machine.run(1)
    assert machine.told[-1][1] == 1


def test_restarts_are_kept_bounded_and_their_totals_only_grow(state: Path) -> None:
    del state
    assert totals() == dict.fromkeys(PARTS, 0) and restarts() == []
    write_restart("engine", 1, "")
    for number in range(700):
        write_restart("server", number + 1, "x" * 2000)
    assert totals() == {"engine": 1, "server": 700, "console": 0}
    assert len(restarts()) <= 501 and all(len(one.problem) <= 500 for one in restarts())
    with restarts_file().open("a") as file:
        file.write('{"at": "2026')  # a kill cut it short
    assert totals()["server"] == 700


def test_line_that_is_no_text_hides_no_other(state: Path) -> None:
    """Metrics, console and `linnet status` failed on it."""
    del state
    write_restart("engine", 1, "")
    with restarts_file().open("ab") as file:
        file.write(b"\xff\xfe\x00\n")
    write_restart("server", 1, "")
    assert [one.part for one in restarts()] == ["engine", "server"]


@pytest.mark.parametrize("text", ["", "no JSON\n", '{"part": "server"}\n'])
def test_damaged_record_counts_nothing(state: Path, text: str) -> None:
    del state
    restarts_file().parent.mkdir(parents=True)
    restarts_file().write_text(text)
    assert restarts() == [] and totals()["server"] == 0
