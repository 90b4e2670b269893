from __future__ import annotations

import pytest

from linnet.config import ReleaseConfig
from linnet.deployment.pace import Pace
from linnet.records import ModelPackage
from tests.serving.packages import make_package

CONFIG = ReleaseConfig()


@pytest.fixture(scope="module")
def about(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    return ModelPackage.load(make_package(tmp_path_factory.mktemp("pace") / "package") / "package.json")


def taking(about: ModelPackage, median: float, p95: float) -> ModelPackage:
    return about.model_copy(update={"latency_p50_ms": median, "latency_p95_ms": p95})


def test_slow_package_is_sent_no_more_than_it_can_answer(about: ModelPackage) -> None:
    quick, slow = taking(about, 1.0, 2.0), taking(about, 40.0, 60.0)
    assert Pace.of(CONFIG, [quick]).rate == CONFIG.replay_rps
    assert (
        Pace.of(CONFIG, [slow]).rate == Pace.of(CONFIG, [quick, slow]).rate == pytest.approx(0.7 * 1000 / 40)
    )
    assert Pace.of(CONFIG, []).rate == CONFIG.replay_rps


def test_how_long_is_waited_follows_from_what_the_slowest_package_takes(about: ModelPackage) -> None:
    quick, slow, huge = taking(about, 1.0, 2.0), taking(about, 25.0, 40.0), taking(about, 800.0, 1000.0)
    assert Pace.of(CONFIG, [quick]).late == 0.05, "a busy machine's scheduler alone takes some milliseconds"
    assert Pace.of(CONFIG, [quick, slow]).late == pytest.approx(0.12)
    assert Pace.of(CONFIG, [quick, slow]).patience == 3.0
    assert Pace.of(CONFIG, [huge]).patience == pytest.approx(10.0)
    assert Pace.of(CONFIG, [huge]).late == pytest.approx(3.0)
