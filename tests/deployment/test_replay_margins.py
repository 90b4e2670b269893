"""A candidate that is no worse passes, however few images are replayed; enough images change no margin."""

from __future__ import annotations

import numpy as np
import pytest

from linnet.config import ReleaseConfig
from linnet.deployment.first_release import METRICS, FirstReleaseBaseline
from linnet.deployment.replay_margins import replay_margins

CONFIG = ReleaseConfig()


@pytest.mark.parametrize(("tested", "replayed"), [(64, 26), (64, 32), (12, 6), (600, 250)])
@pytest.mark.parametrize("accuracy", [0.6, 0.8, 0.95])
def test_first_candidate_is_not_rolled_back_for_the_images_that_were_held_out(
    tested: int, replayed: int, accuracy: float
) -> None:
    """However long it is asked, it shows its accuracy on the replayed images, and no other."""
    rng = np.random.default_rng(0)
    evaluated = rng.binomial(tested, accuracy, 2000) / tested
    shown = rng.binomial(replayed, accuracy, 2000) / replayed
    drops = {
        value: replay_margins(CONFIG, replayed, FirstReleaseBaseline(20.0, value, tested)).max_accuracy_drop
        for value in set(evaluated)
    }
    bad = shown < evaluated - [drops[value] for value in evaluated]
    assert np.mean(bad) <= 1.5 * CONFIG.alpha / METRICS
    if tested <= 64 and accuracy < 0.9:
        assert np.mean(shown < evaluated - CONFIG.max_accuracy_drop) > 0.2, "the config's own margin would do"


@pytest.mark.parametrize("replayed", [8, 26, 250])
def test_candidate_that_agrees_often_enough_is_not_rolled_back_for_the_images_it_is_shown(
    replayed: int,
) -> None:
    margins, rng = replay_margins(CONFIG, replayed), np.random.default_rng(1)
    differ = 1 - CONFIG.min_agreement
    shares = [CONFIG.min_agreement, differ / 2, differ / 2]  # the same, only it right, only the other
    same, gained, lost = rng.multinomial(replayed, shares, 4000).T / replayed
    level = CONFIG.alpha / len(CONFIG.metrics)
    assert np.mean(lost - gained > margins.max_accuracy_drop) <= 1.5 * level
    assert np.mean(lost - gained > margins.max_class_shift) <= 1.5 * level
    assert np.mean(same < margins.min_agreement) <= 1.5 * level


def test_margins_of_many_images_are_those_of_the_config() -> None:
    assert replay_margins(CONFIG, 3000).max_accuracy_drop == CONFIG.max_accuracy_drop
    assert replay_margins(CONFIG, 3000).max_class_shift == CONFIG.max_class_shift
    assert replay_margins(CONFIG, 3000).min_agreement == pytest.approx(CONFIG.min_agreement, abs=0.025)
    first = FirstReleaseBaseline(2.0, 0.93, 10_000)
    assert replay_margins(CONFIG, 3000, first) == CONFIG


def test_margin_of_a_faultless_candidate_still_allows_for_what_was_not_seen() -> None:
    few = replay_margins(CONFIG, 8, FirstReleaseBaseline(2.0, 1.0, 8))
    assert CONFIG.max_accuracy_drop < few.max_accuracy_drop < 1
