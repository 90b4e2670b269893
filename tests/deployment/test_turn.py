"""Releases of one model that come together: one after another, and each against the champion of its time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from linnet.deployment.release import release
from linnet.deployment.turn import release_turn
from tests.deployment.test_release import QUICK, SERVING, make_training_set
from tests.serving.packages import make_package

ONE_STEP = QUICK.model_copy(update={"steps": (100,), "metrics": ("errors", "validity", "accuracy")})


@pytest.mark.slow
def test_three_releases_at_once_all_come_to_an_end_each_against_its_champion(
    tmp_path: Path, state: Path
) -> None:
    make_training_set(tmp_path / "set")
    make_package(tmp_path / "1")
    champion, lock, came, seen = ["1"], threading.Lock(), threading.Barrier(3), []

    def run(version: str) -> None:
        make_package(tmp_path / version)
        came.wait(120)
        with release_turn("shop", lambda *_: None):
            before = champion[0]
            decision = release(
                tmp_path / version, version, tmp_path / before, before, tmp_path / "set", ONE_STEP, SERVING,
                "shop", tmp_path / f"out-{version}",
            )  # fmt: skip
            with lock:
                seen.append((decision.champion, decision.version, decision.verdict))
                champion[0] = version

    threads = [threading.Thread(target=run, args=(version,)) for version in ("2", "3", "4")]
    for version in ("2", "3", "4"):
        (tmp_path / f"out-{version}").mkdir()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert [verdict for _, _, verdict in seen] == ["promote"] * 3
    assert [before for before, _, _ in seen] == ["1", *[version for _, version, _ in seen[:2]]]


def test_turn_is_waited_for_with_a_word_and_given_on_when_its_process_is_killed(state: Path) -> None:
    program = "from linnet.deployment.turn import release_turn\nimport time\n"
    program += "with release_turn('shop'):\n    print('mine', flush=True)\n    time.sleep(60)\n"
    other = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None and other.stdout.readline() == "mine\n"
    told: list[str] = []

    def tell(what: str, done: int, total: int) -> None:
        if not told:
            os.kill(other.pid, signal.SIGKILL)
        told.append(what)

    with other, release_turn("shop", tell) as waited:
        assert waited > 0
    assert told and "waits for another release" in told[0]


def test_wait_for_a_turn_ends_with_ctrl_c_and_other_models_do_not_wait(state: Path) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with release_turn("shop"):
        with release_turn("other") as waited:
            assert waited < 1
        with pytest.raises(KeyboardInterrupt), release_turn("shop", interrupt):
            raise AssertionError("two have the turn")
    with release_turn("shop") as waited:
        assert waited < 1
