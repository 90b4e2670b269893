from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from linnet.errors import TrainingError
from linnet.training import dataset
from linnet.training.augmentation import Augmentation
from linnet.training.dataset import Batches, read_training_set

PLAIN = Augmentation(12, 12, flip=False, shift=0, cutout=0)
CPU = torch.device("cpu")


def batches(made: Path, size: int, **more: int) -> Batches:
    return Batches(read_training_set(made).train, size, PLAIN, 3, CPU, **more)


def test_epoch_shows_each_image_at_most_once_in_another_order_each_time(made: Path) -> None:
    data = batches(made, 20)
    first = torch.cat([batch.features for batch in data.epoch(0)])
    again = torch.cat([batch.features for batch in data.epoch(0)])
    second = torch.cat([batch.features for batch in data.epoch(1)])
    assert len(first) == 320 and len(first.unique(dim=0)) == len(data.data.features.unique(dim=0))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_processes_share_the_batch_of_one_process(made: Path) -> None:
    whole = next(batches(made, 20).epoch(0))
    parts = [next(batches(made, 20, rank=rank, processes=2).epoch(0)) for rank in (0, 1)]
    assert torch.equal(parts[0].images, whole.images[0::2])
    assert torch.equal(parts[1].labels, whole.labels[1::2])


@pytest.mark.parametrize(("wanted", "size"), [(512, 20), (8, 8), (2, 2)])
def test_batch_of_a_small_dataset_leaves_sixteen_steps(made: Path, wanted: int, size: int) -> None:
    assert batches(made, wanted).size == size


def test_set_larger_than_memory_is_mapped_and_gives_the_same_batches(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [batch.images for batch in batches(made, 20).epoch(0)]
    monkeypatch.setattr(dataset, "_free_memory", lambda: 1000)
    data = batches(made, 20)
    assert data.data.mapped
    found = [batch.images for batch in data.epoch(0)]
    assert len(found) == 16 and all(map(torch.equal, found, expected))
    abandoned = data.epoch(1)
    next(abandoned)
    abandoned.close()  # must end the thread that fetches ahead


def test_error_in_the_fetching_thread_reaches_the_loop(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "_free_memory", lambda: 1000)
    data = batches(made, 20)
    broken = Batches(
        dataset.SplitData(data.data.images[:3], data.data.features, data.data.labels, True), 20, PLAIN, 3, CPU
    )
    with pytest.raises(IndexError):
        list(broken.epoch(0))


def break_json(made: Path) -> None:
    (made / "training_set.json").write_text("{")


def drop_json(made: Path) -> None:
    (made / "training_set.json").unlink()


def drop_images(made: Path) -> None:
    (made / "images-train.npy").unlink()


def cut_images(made: Path) -> None:
    content = (made / "images-train.npy").read_bytes()
    (made / "images-train.npy").write_bytes(content[:1000])


def float_images(made: Path) -> None:
    np.save(made / "images-train.npy", np.zeros((320, 12, 12, 1), np.float32))


def label_nine(made: Path) -> None:
    np.save(made / "labels-train.npy", np.full(320, 9))


def nan_feature(made: Path) -> None:
    values = np.load(made / "features-train.npy")
    values[7, 2] = np.nan
    np.save(made / "features-train.npy", values)


def no_validation(made: Path) -> None:
    for name in ("images", "labels", "features"):
        np.save(made / f"{name}-validation.npy", np.load(made / f"{name}-validation.npy")[:0])


def one_class(made: Path) -> None:
    about = json.loads((made / "training_set.json").read_text())
    (made / "training_set.json").write_text(json.dumps({**about, "classes": ["one"]}))


def tiny(made: Path) -> None:
    about = json.loads((made / "training_set.json").read_text())
    (made / "training_set.json").write_text(json.dumps({**about, "height": 4}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (break_json, "training_set.json: damaged"),
        (drop_json, "training_set.json: no such file"),
        (drop_images, "images-train.npy: no such file"),
        (cut_images, "images-train.npy: cannot be read"),
        (float_images, r"images-train.npy: holds float32 .* uint8 .* was expected"),
        (label_nine, "labels-train.npy: holds label 9 .* 3 classes"),
        (nan_feature, "features-train.npy: row 7 is not finite"),
        (no_validation, "the validation split is empty"),
        (one_class, "at least 2 are needed"),
        (tiny, "at least 8 x 8"),
    ],
)
def test_odd_training_set_is_refused_with_the_file_and_the_reason(
    made: Path, damage: object, message: str
) -> None:
    damage(made)  # type: ignore[operator]
    with pytest.raises(TrainingError, match=message):
        read_training_set(made)


def test_digest_changes_with_the_dataset(made: Path, maker: Callable[..., Path], tmp_path: Path) -> None:
    other = maker(tmp_path / "other", digest="e")
    assert read_training_set(made).digest != read_training_set(other).digest
