from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from linnet.config import TrainConfig
from linnet.errors import ConfigError, TrainingError
from linnet.records import TrainingReport
from linnet.training.progress import parse_line
from linnet.training.train import train
from linnet.vision.networks import load_model


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "model.pt", weights_only=True)["state"]


def same(one: Path, other: Path) -> bool:
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def changed(config: TrainConfig, **values: object) -> TrainConfig:
    return TrainConfig.parse({**config.values(), **values})


def command(made: Path, out: Path, work: Path, config: TrainConfig) -> list[str]:
    settings = out.with_suffix(".json")
    settings.write_text(json.dumps(config.values()))
    base = [sys.executable, "-m", "linnet.training", "--training-set", str(made), "--config", str(settings)]
    return [*base, "--out", str(out), "--work", str(work)]


def run_until(words: str, arguments: list[str], how: signal.Signals) -> tuple[int, str]:
    """Starts the command, sends the signal when `words` appear in its progress; status and stderr."""
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stderr is not None
        for line in child.stdout:
            if words in line:
                child.send_signal(how)
                break
        return child.wait(120), child.stderr.read()


def test_train_on_stripes_learns_them_and_writes_model_and_report(
    made: Path, quick: TrainConfig, tmp_path: Path
) -> None:
    said: list[tuple[str, int, int]] = []
    report = train(made, quick, tmp_path / "out", tmp_path / "work", lambda *what: said.append(what))
    assert report.history[-1]["validation_accuracy"] > 0.95
    assert set(report.history[0]) == {
        "epoch", "loss", "train_accuracy", "validation_accuracy", "validation_macro_f1", "images_per_second",
        "seconds", "waiting",
    }  # fmt: skip
    assert report.waiting is not None and 0 < report.waiting < 1
    assert TrainingReport.load(tmp_path / "out" / "training.json") == report
    assert said[0][2] == 16 * 3 and "images/s" in said[0][0]
    model = load_model(tmp_path / "out")
    images = torch.from_numpy(np.load(made / "images-validation.npy"))
    features = torch.from_numpy(np.load(made / "features-validation.npy"))
    logits, _ = model(images, features)
    right = (logits.argmax(1).numpy() == np.load(made / "labels-validation.npy")).mean()
    assert right > 0.95


def test_epochs_are_told_as_they_end_and_again_where_a_training_goes_on(
    made: Path, quick: TrainConfig, tmp_path: Path
) -> None:
    told: list[dict[str, float]] = []

    def until_second(row: dict[str, float]) -> None:
        told.append(row)
        if row["epoch"] == 2.0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(made, quick, tmp_path / "out", tmp_path / "work", after_epoch=until_second)
    assert [row["epoch"] for row in told] == [1.0, 2.0]
    again: list[dict[str, float]] = []
    report = train(made, quick, tmp_path / "out", tmp_path / "work", after_epoch=again.append)
    assert again == list(report.history) and again[:2] == told


@pytest.mark.parametrize("optimizer", ["sgd", "muon"])
def test_two_runs_with_one_seed_give_the_same_weights(
    made: Path, quick: TrainConfig, tmp_path: Path, optimizer: str
) -> None:
    config = changed(quick, optimizer=optimizer, ema_decay=0.9)
    train(made, config, tmp_path / "a", tmp_path / "work-a")
    torch.rand(7)  # the caller's random numbers must not matter
    train(made, config, tmp_path / "b", tmp_path / "work-b")
    train(made, changed(config, seed=1), tmp_path / "c", tmp_path / "work-c")
    assert same(tmp_path / "a", tmp_path / "b")
    assert not same(tmp_path / "a", tmp_path / "c")


@pytest.mark.slow
def test_run_killed_in_mid_epoch_and_resumed_gives_the_same_weights(
    made: Path, quick: TrainConfig, tmp_path: Path
) -> None:
    config = changed(quick, shift=2, flip=True, cutout=3, ema_decay=0.9, optimizer="muon")
    train(made, config, tmp_path / "whole", tmp_path / "work-whole")
    arguments = command(made, tmp_path / "killed", tmp_path / "work", config)
    status, _ = run_until("epoch 2/3", arguments, signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert not (tmp_path / "killed" / "model.pt").exists()
    subprocess.run(arguments, check=True, capture_output=True, timeout=150)
    report = TrainingReport.load(tmp_path / "killed" / "training.json")
    assert report.resumed_from_epoch == 1
    assert len(report.history) == 3
    assert same(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.slow
def test_ctrl_c_ends_with_one_message_and_a_usable_checkpoint(
    made: Path, quick: TrainConfig, tmp_path: Path
) -> None:
    config = changed(quick, epochs=4)
    arguments = command(made, tmp_path / "out", tmp_path / "work", config)
    status, said = run_until("epoch 2/4", arguments, signal.SIGINT)
    assert status == 130
    assert said.strip().startswith("interrupted") and "Traceback" not in said
    report = train(made, config, tmp_path / "out", tmp_path / "work")
    assert report.resumed_from_epoch >= 1


def test_finished_run_called_again_trains_nothing_and_gives_the_same_weights(
    made: Path, quick: TrainConfig, tmp_path: Path
) -> None:
    train(made, quick, tmp_path / "a", tmp_path / "work")
    report = train(made, quick, tmp_path / "b", tmp_path / "work")
    assert report.resumed_from_epoch == 3
    assert same(tmp_path / "a", tmp_path / "b")


def test_work_folder_of_another_config_is_left_alone_with_a_message(
    made: Path, quick: TrainConfig, tmp_path: Path
) -> None:
    train(made, changed(quick, seed=5), tmp_path / "other", tmp_path / "work")
    report = train(made, quick, tmp_path / "mixed", tmp_path / "work")
    train(made, quick, tmp_path / "clean", tmp_path / "clean-work")
    assert report.resumed_from_epoch == 0
    assert "another config or dataset" in report.notes[0]
    assert same(tmp_path / "mixed", tmp_path / "clean")


def test_damaged_checkpoint_starts_afresh_with_a_message(
    made: Path, quick: TrainConfig, tmp_path: Path
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "checkpoint.pt").write_bytes(b"not a checkpoint")
    report = train(made, changed(quick, epochs=1), tmp_path / "out", tmp_path / "work")
    assert "damaged" in report.notes[0]
    assert len(report.history) == 1


def test_diverging_loss_names_epoch_rate_and_remedy(made: Path, quick: TrainConfig, tmp_path: Path) -> None:
    config = changed(quick, learning_rate=1e30)
    with pytest.raises(TrainingError, match=r"epoch 1 at learning rate .*lower train.learning_rate"):
        train(made, config, tmp_path / "out", tmp_path / "work")
    assert not (tmp_path / "work" / "checkpoint.pt").exists()


def test_cuda_without_gpu_is_a_config_error(made: Path, quick: TrainConfig, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ConfigError, match=r"train.device.*'auto' or 'cpu'"):
        train(made, changed(quick, device="cuda"), tmp_path / "out", tmp_path / "work")


@pytest.mark.slow
def test_two_processes_learn_and_write_one_result(made: Path, quick: TrainConfig, tmp_path: Path) -> None:
    said: list[str] = []
    config = changed(quick, processes=2)
    told: list[dict[str, float]] = []
    say = lambda what, *_: said.append(what)  # noqa: E731
    report = train(made, config, tmp_path / "out", tmp_path / "work", say, after_epoch=told.append)
    assert report.history[-1]["validation_accuracy"] > 0.95
    assert told == list(report.history)
    assert report.config["processes"] == 2
    assert any("epoch 3/3" in what for what in said)
    load_model(tmp_path / "out")


@pytest.mark.slow
def test_two_processes_that_fail_give_the_workers_own_message(
    made: Path, quick: TrainConfig, tmp_path: Path
) -> None:
    (made / "labels-validation.npy").unlink()
    with pytest.raises(TrainingError, match=r"labels-validation.npy: cannot be read"):
        train(made, changed(quick, processes=2), tmp_path / "out", tmp_path / "work")


def test_initial_weights_are_taken_and_misfits_start_afresh(
    made: Path, quick: TrainConfig, tmp_path: Path
) -> None:
    train(made, quick, tmp_path / "first", tmp_path / "work-1")
    path = tmp_path / "first" / "model.pt"
    saved = torch.load(path, weights_only=True)
    saved["state"]["head.weight"] = torch.zeros(7, 3)  # a model of other classes
    torch.save(saved, tmp_path / "other.pt")
    tuned = changed(quick, epochs=1, learning_rate=1e-8, init_weights=str(tmp_path / "other.pt"))
    report = train(made, tuned, tmp_path / "second", tmp_path / "work-2")
    assert report.notes[0].endswith("start afresh: head.weight")
    before, after = weights(tmp_path / "first"), weights(tmp_path / "second")
    assert torch.allclose(before["stem.conv.weight"], after["stem.conv.weight"], atol=1e-5)
    assert after["head.weight"].shape == before["head.weight"].shape


@pytest.mark.parametrize(
    ("content", "problem"), [(None, "does not exist"), (b"junk", "is not a model that Linnet wrote")]
)
def test_unusable_initial_weights_are_a_training_error(
    made: Path, quick: TrainConfig, tmp_path: Path, content: bytes | None, problem: str
) -> None:
    path = tmp_path / "weights.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TrainingError, match=rf"train.init_weights: .*{problem}"):
        train(made, changed(quick, init_weights=str(path)), tmp_path / "out", tmp_path / "work")


def test_class_weights_raise_the_recall_of_a_rare_class(
    made: Path, tmp_path: Path, quick: TrainConfig
) -> None:
    labels = np.load(made / "labels-train.npy")
    images, features = np.load(made / "images-train.npy"), np.load(made / "features-train.npy")
    keep = np.flatnonzero((labels != 2) | (np.cumsum(labels == 2) <= 6))
    for name, values in {"labels": labels, "images": images, "features": features}.items():
        np.save(made / f"{name}-train.npy", values[keep])
    recall = {}
    for weighted in (False, True):
        out = tmp_path / str(weighted)
        config = changed(quick, class_weights=weighted, epochs=2, learning_rate=0.03)
        train(made, config, out, tmp_path / f"work-{weighted}")
        rare = np.load(made / "labels-validation.npy") == 2
        shown = [torch.from_numpy(np.load(made / f"{n}-validation.npy")) for n in ("images", "features")]
        logits, _ = load_model(out)(*shown)
        recall[weighted] = (logits.argmax(1).numpy()[rare] == 2).mean()
    assert recall[True] > recall[False]


@pytest.mark.slow
def test_progress_lines_of_the_command_are_machine_readable(
    made: Path, quick: TrainConfig, tmp_path: Path
) -> None:
    arguments = command(made, tmp_path / "out", tmp_path / "work", changed(quick, epochs=1))
    environment = {**os.environ, "COLUMNS": "80"}
    done = subprocess.run(arguments, check=True, capture_output=True, text=True, env=environment, timeout=150)
    found = [parse_line(line) for line in done.stdout.splitlines()]
    assert found[0] is not None and found[0][1:] == (1, 16)
    assert "validation accuracy" in done.stdout.splitlines()[-1]
