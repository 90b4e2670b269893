"""A config that `init` writes can be run, and its gates can be passed, however few images there are."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest

from linnet.config import EvaluationConfig, GatesConfig, parse_config
from linnet.data.ingest import ingest
from linnet.data.init_config import config_for
from linnet.data.judging import divide, gates_section
from linnet.data.rows import RawDataset, RawRow
from linnet.data.validate import check_gates, validate
from linnet.errors import ConfigError, DataError, ValidationFailed
from linnet.evaluation.gates import evaluate_gates
from linnet.evaluation.measure import measure
from linnet.records import DatasetManifest
from linnet.statistics.attainable import unattainable
from linnet.statistics.metrics import Predictions
from linnet.tasks.score import Fitted
from linnet.vision.decode import encode_png


def write(folder: Path, counts: tuple[int, ...]) -> Path:
    for index, number in enumerate(counts):
        (folder / f"c{index}").mkdir(parents=True)
        for image in range(number):
            pixels = np.random.default_rng([index, image]).integers(0, 256, (8, 8, 1), np.uint8)
            (folder / f"c{index}" / f"{image}.png").write_bytes(encode_png(pixels))
    return folder


def rows_of(counts: tuple[int, ...]) -> RawDataset:
    names = tuple(f"c{index}" for index in range(len(counts)))
    rows = [
        RawRow(f"{name}/{number}", name, "", "x")
        for name, many in zip(names, counts, strict=True)
        for number in range(many)
    ]
    return RawDataset("here", names, rows)


SIZES = [
    (5, 5), (9, 9), (10, 10), (11, 14), (3, 40), (1, 30, 30), (4, 4, 4), (6, 6, 6, 6), (2,) * 12, (4,) * 12,
    (5,) * 10, (12,) * 30, (250, 20),
]  # fmt: skip


@pytest.mark.parametrize("counts", SIZES, ids=str)
def test_init_writes_a_config_that_works_or_says_how_many_images_it_takes(
    tmp_path: Path, counts: tuple[int, ...]
) -> None:
    root = write(tmp_path / "p", counts)
    try:
        text = config_for("p", root).text
    except DataError as error:
        assert "it takes at least" in str(error) and "in each class" in str(error)
        least = int(str(error).partition("at least ")[2].split()[0])
        assert divide(rows_of(tuple(max(least, number) for number in counts)))
        with pytest.raises(DataError):
            divide(rows_of(tuple(max(least - 1, number) for number in counts)))
        return
    config = parse_config(tomllib.loads(text))
    manifest = ingest(config.data, "p", tmp_path / "samples")
    train = manifest.counts["train"].values()
    assert min(train) >= config.validation.min_per_class
    assert max(train) <= config.validation.max_imbalance * min(train)
    check_gates(tmp_path / "samples", config.gates, config.evaluation)
    assert {name for name, number in manifest.counts["test"].items() if not number} == set(
        config.gates.unjudged_classes
    )


def test_ten_images_are_refused_by_init_with_the_number_it_takes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"10 images in 2 classes are too few .* it takes at least 8 in each"):
        config_for("p", write(tmp_path / "p", (5, 5)))


def faultless(tests: list[int], wrong: float, seed: int) -> Predictions:
    """A calibrated model that errs in a share of the answers, as often as it says."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(tests)), tests)
    said = np.where(rng.random(len(labels)) < wrong, rng.integers(0, len(tests), len(labels)), labels)
    sure = 1 - wrong * (1 - 1 / len(tests))
    probabilities = np.full((len(labels), len(tests)), (1 - sure) / (len(tests) - 1))
    probabilities[np.arange(len(labels)), said] = sure
    return Predictions(labels, probabilities)


@pytest.mark.parametrize(
    "counts", [(10, 10), (30, 30), (122, 122), (12,) * 30, (400, 400, 400), (40, 200)], ids=str
)
def test_a_good_model_passes_the_gates_that_init_wrote(counts: tuple[int, ...]) -> None:
    raw = rows_of(counts)
    division = divide(raw)
    text = gates_section(raw, division, EvaluationConfig())
    gates = GatesConfig.parse(tomllib.loads(text)["gates"])
    tests = list(division.tests.values())
    assert not unattainable(tests, gates, EvaluationConfig())
    passed, chance = 0, 0
    for seed in range(20):
        for wrong in (0.08, 1.0):
            made = faultless(tests, wrong, seed)
            ids, names = [str(i) for i in range(made.samples)], list(division.tests)
            cohorts = {"brightness": np.array(["dark", "middle", "bright"])[np.arange(made.samples) % 3]}
            report = measure(
                made, made, ids, names, cohorts, Fitted(1.0), None, EvaluationConfig(resamples=100)
            )
            verdict = evaluate_gates(report, gates).verdict == "pass"
            passed, chance = passed + (wrong < 1 and verdict), chance + (wrong == 1 and verdict)
    assert passed >= 17, (passed, text)
    assert chance <= 1, "guessing passes"


@pytest.mark.parametrize(("recall", "least", "most"), [(0.43, 35, 40), (0.0, 0, 0)])
def test_rare_classes_are_judged_by_what_so_few_images_can_show(recall: float, least: int, most: int) -> None:
    """The smallest class of Debian's clip art has 13 test images, of which a first model finds about half."""
    raw = rows_of((1797, 345, 330, 286, 170, 123, 68, 66))
    division = divide(raw)
    gates = GatesConfig.parse(tomllib.loads(gates_section(raw, division, EvaluationConfig()))["gates"])
    tests, rng = list(division.tests.values()), np.random.default_rng(4)
    assert min(tests) == tests[-1] == 13
    found = np.array([0.95, 0.75, 0.75, 0.75, 0.7, 0.7, 0.65, recall])
    labels, passed = np.repeat(np.arange(8), tests), 0
    for _ in range(40):
        said = np.where(rng.random(len(labels)) < found[labels], labels, 0)
        made = Predictions(labels, np.eye(8)[said])
        ids = [str(i) for i in range(len(labels))]
        report = measure(
            made, made, ids, list(division.tests), {}, Fitted(1.0), None, EvaluationConfig(resamples=100)
        )
        (gate,) = [one for one in evaluate_gates(report, gates).gates if one.name == "worst_recall"]
        passed += gate.passed
    assert least <= passed <= most, (passed, gates.min_worst_recall)


IMPOSSIBLE = [
    ({"min_accuracy": 0.95}, "gates.min_accuracy", 73),
    ({"min_accuracy": 1.0}, "gates.min_accuracy", None),
    ({"min_auc": 0.99}, "gates.min_auc", 750),
    ({"non_inferiority_margin": 0.03}, "gates.non_inferiority_margin", 125),
]


@pytest.mark.parametrize(("values", "setting", "needed"), IMPOSSIBLE, ids=lambda value: str(value))
def test_gate_that_no_model_passes_is_refused_with_the_number_it_takes(
    values: dict[str, float], setting: str, needed: int | None
) -> None:
    gates = GatesConfig(**{"min_accuracy": 0.5, "min_macro_f1": 0.5, "min_auc": 0.5, **values})
    (found,) = unattainable([25, 24], gates, EvaluationConfig())
    assert found.setting == setting
    assert found.needed == needed
    if needed:  # from so many on the same setting is no longer refused
        half = needed // 2
        assert not unattainable([needed - half, half], gates, EvaluationConfig())


def test_gate_that_is_out_of_reach_stops_the_run_before_training(tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    manifest = DatasetManifest(
        name="p", digest="", revision="", classes=("a", "b"),
        counts={"test": {"a": 25, "b": 24}}, shards=(), rows=49, raw_rows=49, dropped_duplicates=0,
        dropped_leaks=0, dropped=(),
    )  # fmt: skip
    manifest.save(tmp_path / "samples" / "manifest.json")
    gates = GatesConfig(min_accuracy=0.95, min_auc=0.5, non_inferiority_margin=0.03)
    with pytest.raises(ConfigError) as caught:
        check_gates(tmp_path / "samples", gates, EvaluationConfig())
    told = str(caught.value)
    assert "gates.min_accuracy, gates.non_inferiority_margin: 0.95 is out of reach: on 49 test images" in told
    assert "0.9273; it takes 73" in told and "may be 0.073 apart; it takes 125" in told
    assert 'set at most gates.min_accuracy = 0.92 and set gates.non_inferiority_margin = "auto"' in told
    check_gates(tmp_path / "samples", GatesConfig(min_auc=0.5), EvaluationConfig())


def test_margin_of_zero_asks_for_a_better_model_and_is_no_error() -> None:
    gates = GatesConfig(non_inferiority_margin=0.0, min_auc=0.5)
    assert not unattainable([25, 25], gates, EvaluationConfig())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Great Expectations' own, at import
def test_class_without_a_test_image_is_refused_unless_the_config_names_it(tmp_path: Path) -> None:
    root = write(tmp_path / "p", (30, 30, 1))
    config = parse_config(tomllib.loads(config_for("p", root).text))
    assert config.gates.unjudged_classes == ("c2",)
    ingest(config.data, "p", tmp_path / "samples")
    places = tmp_path / "samples", config.validation, config.data, tmp_path / "report"
    assert validate(*places, unjudged=config.gates.unjudged_classes).passed
    with pytest.raises(ValidationFailed, match=r"class_judged.*gates\.unjudged_classes"):
        validate(*places)
