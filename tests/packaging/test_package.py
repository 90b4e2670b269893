"""The package step end to end on a tiny network, the real server process included."""

from __future__ import annotations

import math
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from linnet.artifacts.onnx_model import PackagedModel
from linnet.artifacts.reference import Reference
from linnet.artifacts.validation_logits import write_validation_logits
from linnet.config import GatesConfig, ServingConfig
from linnet.errors import DataError, PackagingError, ServingError
from linnet.packaging import model_card, smoke_test
from linnet.packaging import package as module
from linnet.packaging.gates import evaluate_package_gates
from linnet.packaging.held_out import golden_rows
from linnet.packaging.package import package
from linnet.packaging.parity import Parity
from linnet.records import EvaluationReport, GateDecision, ModelPackage, StageRecord, TrainingSetManifest
from linnet.records.model import MOST_SUSPECTS
from linnet.vision.decode import resize
from tests.packaging.folders import CLASSES, COUNT, Folders, make_folders

SERVING = ServingConfig(threads=1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    return make_folders(tmp_path_factory.mktemp("steps"))


@pytest.fixture(scope="module")
def packed(
    folders: Folders, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, GateDecision, list[str]]:
    out, seen = tmp_path_factory.mktemp("packed") / "package", []
    gates = GatesConfig(max_latency_p95_ms=5000)  # the machine may be busy
    _, decision = package(
        folders.model, folders.evaluation, folders.training_set, gates, SERVING,
        "tiny", out, lambda what, done, total: seen.append(what) if done == total else None,
    )  # fmt: skip
    return out, decision, seen


def test_package_of_a_good_model_passes_its_gates(packed: tuple[Path, GateDecision, list[str]]) -> None:
    out, decision, seen = packed
    described = ModelPackage.load(out / "package.json")
    assert decision.verdict == "pass", decision.reasons
    assert GateDecision.load(out / "gates.json") == decision
    assert described.parity_agreement == 1.0 and described.parity_max_difference < 1e-5
    assert 0 < described.latency_p50_ms <= described.latency_p95_ms
    assert seen == ["parity with torch", "reference for monitoring", "latency in the real server"]


def test_reference_is_of_images_that_the_network_did_not_learn_from(
    folders: Folders, packed: tuple[Path, GateDecision, list[str]], tmp_path: Path
) -> None:
    """A head on a frozen backbone learned from the validation images, which then told how good it is."""
    assert Reference.load(packed[0]).held_out == 10 + COUNT
    model = Path(shutil.copytree(folders.model, tmp_path / "model"))
    training_set = Path(shutil.copytree(folders.training_set, tmp_path / "set"))
    about = TrainingSetManifest.load(training_set / "training_set.json")
    about.model_copy(update={"counts": {"validation": 10, "test": COUNT}}).save(
        training_set / "training_set.json"
    )
    logits = np.zeros((10, len(CLASSES)), np.float32)
    write_validation_logits(model, logits, f"{about.dataset_digest}/{about.labels_digest}")
    out = tmp_path / "package"
    package(model, folders.evaluation, training_set, GatesConfig(), SERVING, "tiny", out)
    assert Reference.load(out).held_out == COUNT


def test_package_holds_golden_samples_of_every_class(packed: tuple[Path, GateDecision, list[str]]) -> None:
    out = packed[0]
    with np.load(out / "golden.npz") as golden:
        answers, _ = PackagedModel.load(out).predict(golden["images"], golden["features"])
        np.testing.assert_allclose(answers, golden["probabilities"], atol=1e-5)
        assert len(answers) >= 16


def test_model_card_names_data_metrics_cohorts_and_limits(
    packed: tuple[Path, GateDecision, list[str]],
) -> None:
    for file in ("model_card.md", "model_card.html"):
        text = (packed[0] / file).read_text()
        for expected in ("d" * 32, "0.8500", "brightness", "Limits", "Intended use", "How to load", *CLASSES):
            assert expected in text, (file, expected)


@pytest.mark.parametrize(
    ("count", "says"), [(7, "7 test labels"), (MOST_SUSPECTS, "500 or more test labels")]
)
def test_model_card_says_where_doubtful_labels_were_cut(count: int, says: str) -> None:
    report = EvaluationReport.model_construct(cohorts=(), suspects=tuple(map(str, range(count))))
    (limits,) = model_card._limits(report)
    assert str(limits).startswith(f"{says} are doubtful")


def test_package_whose_onnx_differs_is_refused(
    folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from linnet.packaging.export import export

    def planted(network: torch.nn.Module, temperature: float, folder: Path, task: str) -> Path:
        bias = network.head.bias.detach().clone()
        with torch.no_grad():
            network.head.bias += torch.tensor([9.0, 0.0, -9.0])
            path = export(network, temperature, folder, task)
            network.head.bias.copy_(bias)
        return path

    monkeypatch.setattr(module, "export", planted)
    described, decision = package(
        folders.model,
        folders.evaluation,
        folders.training_set,
        GatesConfig(),
        SERVING,
        "tiny",
        tmp_path / "p",
    )
    assert decision.verdict == "fail" and math.isnan(described.latency_p95_ms)
    assert "ONNX and torch give the same answer" in decision.reasons[0]
    assert ModelPackage.load(tmp_path / "p" / "package.json").parity_agreement < 0.999


def test_package_with_other_temperature_is_refused_by_the_server(
    folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same top class everywhere, but other probabilities: the golden samples catch it."""
    from linnet.packaging.export import export

    monkeypatch.setattr(
        module, "export", lambda network, temperature, out, task: export(network, 2.0, out, task)
    )
    with pytest.raises(PackagingError, match="differs from its golden samples"):
        package(
            folders.model,
            folders.evaluation,
            folders.training_set,
            GatesConfig(),
            SERVING,
            "t",
            tmp_path / "p",
        )


def test_package_with_feature_skew_is_refused(tmp_path: Path) -> None:
    made = make_folders(tmp_path)
    features = np.load(made.training_set / "features-test.npy")
    np.save(made.training_set / "features-test.npy", features[:, ::-1].copy())
    with pytest.raises(PackagingError, match="features at request time are not those of training"):
        package(made.model, made.evaluation, made.training_set, GatesConfig(), SERVING, "t", tmp_path / "p")


def test_package_interrupted_while_serving_stops_the_server(
    folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def remember(*args: object, **kwargs: object) -> subprocess.Popen[bytes]:
        started.append(real(*args, **kwargs))  # type: ignore[call-overload]
        return started[-1]

    def interrupt(what: str, done: int, total: int) -> None:
        if what.startswith("latency"):
            raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", remember)
    with pytest.raises(KeyboardInterrupt):
        package(
            folders.model, folders.evaluation, folders.training_set, GatesConfig(), SERVING, "t",
            tmp_path / "p", interrupt,
        )  # fmt: skip
    assert len(started) == 1 and started[0].returncode is not None


def test_package_without_a_test_split_names_the_folder(folders: Folders, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="build the features again"):
        package(folders.model, folders.evaluation, tmp_path, GatesConfig(), SERVING, "t", tmp_path / "p")


def test_package_without_its_model_file_is_not_served(packed: tuple[Path, GateDecision, list[str]]) -> None:
    damaged = packed[0].with_name("damaged")
    damaged.mkdir()
    (damaged / "package.json").write_bytes((packed[0] / "package.json").read_bytes())
    with pytest.raises(ServingError, match=r"model\.onnx is missing"):
        PackagedModel.load(damaged)


@pytest.mark.parametrize(
    ("parity", "p95", "size", "failed"),
    [
        (0.9991, 20.0, 1.0, []),
        (0.9989, 20.0, 1.0, ["parity"]),
        (1.0, 20.1, 1.0, ["latency_p95"]),
        (1.0, math.nan, 1.0, ["latency_p95"]),
        (math.nan, 1.0, 10.1, ["parity", "size"]),
    ],
)
def test_gates_beyond_a_threshold_fail(parity: float, p95: float, size: float, failed: list[str]) -> None:
    config = GatesConfig(min_parity=0.999, max_latency_p95_ms=20, max_size_mb=10)
    decision = evaluate_package_gates(Parity(10, 0.0, parity), p95, 200, size, config)
    assert [gate.name for gate in decision.gates if not gate.passed] == failed
    assert decision.verdict == ("fail" if failed else "pass")


def test_golden_rows_cover_rare_classes_and_fill_up() -> None:
    labels = np.array([0] * 50 + [1] + [2] * 3)
    rows = golden_rows(labels, 16)
    assert set(labels[rows]) == {0, 1, 2} and len(rows) >= 16 and len(set(rows)) == len(rows)


@pytest.mark.slow
def test_another_threshold_judges_the_package_anew_and_does_not_build_it(
    folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gate's number, the port, and what `evaluate` decided: none of them is in the package's key."""
    from components.package import package as component

    monkeypatch.setenv("LINNET_RUN_DIR", str(tmp_path / "run"))
    numbers = {"max_latency_p95_ms": 5000.0, "max_size_mb": 100.0, "min_accuracy": 0.1}

    def run(
        name: str, gates: dict[str, float], serving: dict[str, object], note: str = ""
    ) -> tuple[str, bool]:
        (folders.evaluation / "gates.json").write_text(note)
        paths = {"model": folders.model, "report": folders.evaluation, "training_set": folders.training_set}
        verdict = component.python_func(
            name="tiny", gates=gates, serving={"threads": 1, **serving},
            package=SimpleNamespace(path=str(tmp_path / name), metadata={}),
            **{key: SimpleNamespace(path=str(path), metadata={}) for key, path in paths.items()},
        )  # fmt: skip
        return verdict, StageRecord.load(tmp_path / "run" / "stages" / "package.json").cached

    assert run("first", numbers, {}) == ("pass", False)
    assert run("second", {**numbers, "min_accuracy": 0.2}, {"port": 9000, "log_images": 0.5}, "x") == (
        "pass",
        True,
    )
    assert run("third", {**numbers, "max_size_mb": 0.001}, {}) == ("fail", True)
    assert (tmp_path / "third" / "model_card.md").exists()
    gate = GateDecision.load(tmp_path / "third" / "gates.json")
    assert [one.name for one in gate.gates if not one.passed] == ["size"]
    assert GateDecision.load(tmp_path / "first" / "gates.json").verdict == "pass"
    assert run("fourth", numbers, {"max_batch": 4}) == ("pass", False), "this the server does answer by"


@pytest.mark.slow
@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_server_that_fits_odd_shapes_in_another_way_than_training_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fit: str
) -> None:
    made = make_folders(tmp_path / "made")
    about = TrainingSetManifest.load(made.training_set / "training_set.json")
    about.model_copy(update={"fit": fit}).save(made.training_set / "training_set.json")
    gates = GatesConfig(max_latency_p95_ms=5000)
    arguments = made.model, made.evaluation, made.training_set, gates, SERVING, "tiny"
    described, decision = package(*arguments, tmp_path / "right")
    assert described.fit == fit and decision.verdict == "pass", decision.reasons
    monkeypatch.setattr(smoke_test, "resize", lambda *values: resize(*values[:4]))  # as training once did
    with pytest.raises(PackagingError, match="prepares images in another way"):
        package(*arguments, tmp_path / "wrong")
