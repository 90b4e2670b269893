"""The recent labelled window: what it takes in, and that it is a dataset."""

from __future__ import annotations

import csv
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from linnet.artifacts.windows import window_split, withdraw_window
from linnet.config import DataConfig
from linnet.data.ingest import ingest, source_identity, windows_identity
from linnet.data.recent import NO_CLASS
from linnet.errors import DataError, StorageError
from linnet.monitoring.recent import Labelled, labelled_window, write_recent
from linnet.vision.decode import decode, encode_png, sample_id
from tests.monitoring.conftest import Serve, pictures
from tests.serving.packages import CLASSES

HOUR = timedelta(hours=1)


def give_labels(log: Path, labels: dict[str, str], hours_later: float = 0.0) -> None:
    """As `POST /feedback` writes them, but as JSON lines."""
    at = (datetime.now(UTC) + timedelta(hours=hours_later)).isoformat()
    lines = [json.dumps({"request_id": r, "label": label, "at": at}) for r, label in labels.items()]
    (log / f"feedback-{hours_later}.jsonl").write_text("\n".join(lines))


def window(log: Path, version: str | None = "1", ago: timedelta = HOUR) -> list[Labelled]:
    moment = datetime.now(UTC)
    return labelled_window(log, "tiny", version, moment - ago, moment + HOUR, CLASSES).images


def test_window_has_each_labelled_image_once_with_its_last_label(serve: Serve) -> None:
    images = pictures(12, 3)
    images[1] = images[0]  # the same pixels were sent twice
    log = serve(images)
    give_labels(log, {f"r{k}": CLASSES[0] for k in range(10)})
    give_labels(log, {"r5": CLASSES[1], "r6": "zebra", "r99": CLASSES[1]}, hours_later=1)
    found = {one.sample_id: one for one in window(log)}
    assert len(found) == 8, "ten labels; one image came twice, and one label is no class of the model"
    assert found[sample_id(images[5])].label == CLASSES[1]
    assert {one.label for name, one in found.items() if name != sample_id(images[5])} == {CLASSES[0]}
    assert all(decode(one.image).sample_id == name for name, one in found.items())


def test_window_goes_by_version_and_time(serve: Serve) -> None:
    log = serve(pictures(5, 1), version="2")
    next(log.glob("served*")).rename(log / "served-of-another-process.parquet")
    serve(pictures(7, 2), at=(datetime.now(UTC) - 5 * HOUR).timestamp())
    for hours in (-4, 0):  # the ids name other images of another version since
        give_labels(log, {f"r{k}": CLASSES[0] for k in range(7)}, hours_later=hours)
    assert (len(window(log)), len(window(log, "2")), len(window(log, "1", 6 * HOUR))) == (0, 5, 7)
    assert len(window(log, None, 6 * HOUR)) == 12, "of any version"


def test_window_leaves_redacted_images_out(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    from linnet.serving import log as serving_log

    monkeypatch.setattr(serving_log, "encode_png", lambda image: encode_png(image // 2))
    log = serve(pictures(5, 1))
    give_labels(log, {f"r{k}": CLASSES[0] for k in range(5)})
    assert window(log) == []


def test_labels_that_cannot_be_trained_on_are_counted_by_reason(serve: Serve) -> None:
    log = serve(pictures(9, 1), share=0.0)
    give_labels(log, {f"r{k}": CLASSES[0] for k in range(7)} | {"r7": "zebra"})
    (log / "served-torn.parquet").write_bytes(b"PAR1")
    moment = datetime.now(UTC)
    found = labelled_window(log, "tiny", "1", moment - HOUR, moment + HOUR, CLASSES)
    assert found.images == [] and len(found.notes) == 3
    assert found.notes[0] == "1 label(s) are no class of the model"
    assert found.notes[1].startswith("7 label(s) measure the accuracy, and cannot be trained on")
    assert found.notes[2].startswith("the log's served-torn.parquet: ")


def test_what_annotators_answer_about_served_images_is_trained_on(serve: Serve) -> None:
    """The questions of a round are about kept images of production: their answers are labels as any."""
    images = pictures(6, 3)
    log, moment = serve(images), datetime.now(UTC)
    ids = [sample_id(image) for image in images]
    answers = {ids[0]: (CLASSES[1], moment - HOUR), ids[1]: (CLASSES[2], moment), "f" * 32: ("dark", moment)}
    give_labels(log, {"r0": CLASSES[0]})  # and feedback that came after the answer
    found = labelled_window(log, "tiny", "1", moment - HOUR, moment + HOUR, CLASSES, answers)
    assert {one.sample_id: one.label for one in found.images} == {ids[0]: CLASSES[0], ids[1]: CLASSES[2]}


def test_images_whose_annotators_disagree_are_counted_once_unless_feedback_says_more(
    serve: Serve,
) -> None:
    images = pictures(4, 3)
    log, moment = serve([*images, images[0]]), datetime.now(UTC)
    ids = [sample_id(image) for image in images]
    give_labels(log, {"r1": CLASSES[0]})
    found = labelled_window(
        log, "tiny", "1", moment - HOUR, moment + HOUR, CLASSES, {}, disputed={*ids[:2], "f" * 32}
    )
    assert [one.sample_id for one in found.images] == [ids[1]]
    assert found.notes == (
        "1 image(s) are not trained on: their annotators do not agree (labels.min_agreement)",
    )


def test_label_that_came_last_counts_for_equal_pixels(serve: Serve) -> None:
    images = pictures(2, 1)
    images[1] = images[0]
    log = serve(images)
    give_labels(log, {"r1": CLASSES[1]})
    give_labels(log, {"r0": CLASSES[0]}, hours_later=1)  # somebody corrected the earlier answer
    assert [one.label for one in window(log)] == [CLASSES[0]]


def test_no_log_is_an_empty_window(tmp_path: Path) -> None:
    assert window(tmp_path / "nowhere") == []


def labelled(
    images: list[bytes], label: str = "dark", at: datetime = datetime(2026, 3, 1, tzinfo=UTC)
) -> list[Labelled]:
    return [Labelled(decode(image).sample_id, image, label, at) for image in images]


def test_recent_dataset_is_named_by_its_contents(tmp_path: Path) -> None:
    images = [encode_png(image) for image in pictures(6, 4)]
    first = write_recent(labelled(images), "tiny")
    assert write_recent(labelled(images), "tiny") == first
    assert write_recent(labelled(images, "bright"), "tiny") != first
    assert write_recent(labelled(images[:5]), "tiny") != first
    with (first / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(first / row["path"]).read_bytes() for row in rows] == images
    assert {(row["label"], row["captured_at"]) for row in rows} == {("dark", "2026-03-01T00:00:00+00:00")}


def test_recent_dataset_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nothing to train on"):
        write_recent([], "tiny")


@pytest.fixture
def dataset(tmp_path: Path) -> DataConfig:
    """Ninety images of two classes, in folders."""
    for number, image in enumerate(pictures(90, 9)):
        folder = tmp_path / "images" / ("dark" if image.mean() < 128 else "bright")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.png").write_bytes(encode_png(image))
    return DataConfig(location=str(tmp_path / "images"), height=8, width=8)


def test_recent_window_joins_the_dataset_and_changes_its_identity(
    dataset: DataConfig, tmp_path: Path
) -> None:
    window = write_recent(labelled([encode_png(image) for image in pictures(30, 77)]), "x")
    joined = dataset.model_copy(update={"extra_window": str(window)})
    before, after = (ingest(config, "y", tmp_path / "samples") for config in (dataset, joined))
    assert (before.rows, after.rows) == (90, 120) and after.digest != before.digest
    assert source_identity(joined) != source_identity(dataset)
    assert all(after.counts[split]["dark"] > before.counts[split]["dark"] for split in ("train", "test"))


def splits_of(samples: Path) -> dict[str, tuple[str, str]]:
    """Split and label source by sample id, of a sample table."""
    table = pa.concat_tables([pq.read_table(path) for path in sorted(samples.glob("part-*"))])
    columns = (table[name].to_pylist() for name in ("sample_id", "split", "label_source"))
    return {key: (split, source) for key, split, source in zip(*columns, strict=True)}


def test_kept_windows_join_every_later_run_and_move_nothing_of_the_dataset(
    dataset: DataConfig, tmp_path: Path
) -> None:
    before = ingest(dataset, "x", tmp_path / "before")
    images = [encode_png(image) for image in pictures(60, 77)]
    early = write_recent(labelled(images[:40], at=datetime(2026, 2, 1, tzinfo=UTC)), "x")
    write_recent(labelled(images[20:]), "x")  # half of it was in the earlier one already
    after = ingest(dataset, "x", tmp_path / "after")
    assert after.rows == before.rows + 60 and after.digest != before.digest
    assert [sum(held.values()) for held in after.windows.values()] == [40, 20]
    own, all_of_it = splits_of(tmp_path / "before"), splits_of(tmp_path / "after")
    assert {key: all_of_it[key] for key in own} == own, "no split of the dataset's moved"
    taught = {key: found for key, found in all_of_it.items() if key not in own}
    assert all(found[0] == window_split(key) for key, found in taught.items())
    asked = dataset.model_copy(update={"windows": "test"})
    ingest(asked, "x", tmp_path / "asked")
    tested = {key: found for key, found in splits_of(tmp_path / "asked").items() if key not in own}
    assert tested == {key: f for key, f in taught.items() if f[0] in ("test", "production")} != {}
    assert windows_identity("x") != [] == windows_identity("another use case")
    withdraw_window("x", f"window-{early.name}", "ada", "its labels were swapped")
    assert list(ingest(dataset, "x", tmp_path / "less").windows) == list(after.windows)[1:]
    with pytest.raises(DataError, match="was withdrawn by ada: its labels were swapped"):
        withdraw_window("x", f"window-{early.name}", "ada", "again")
    with pytest.raises(DataError, match="there is no window window-1"):
        withdraw_window("x", "window-1", "ada", "a slip")


def test_near_copies_of_a_window_stand_together_and_a_later_one_moves_none(
    dataset: DataConfig, tmp_path: Path
) -> None:
    """Frames of a camera: nearly all are near copies, and most must be left to train on."""
    scenes = np.random.default_rng(4).integers(0, 256, (40, 8, 8, 1)).astype(np.uint8)
    frames = [
        np.clip(scene.astype(int) + shift, 0, 255).astype(np.uint8) for scene in scenes for shift in (0, 1, 2)
    ]
    early = [encode_png(frame) for frame in frames[::3]]
    write_recent(labelled(early, at=datetime(2026, 2, 1, tzinfo=UTC)), "x")
    ingest(dataset, "x", tmp_path / "early")
    write_recent(labelled([encode_png(frame) for frame in frames]), "x")
    manifest = ingest(dataset, "x", tmp_path / "later")
    before, after = splits_of(tmp_path / "early"), splits_of(tmp_path / "later")
    assert len(after) == 90 + 120 and {key: after[key] for key in before} == before
    for number in range(40):
        own = {after[sample_id(frame)][0] for frame in frames[3 * number : 3 * number + 3]}
        assert len(own) == 1, "copies stand on one side"
    held = Counter[str]()
    for counts in manifest.windows.values():
        held.update(counts)
    assert held["train"] > 60 and held["test"] < 50


def test_image_of_the_dataset_that_was_served_stays_where_it_is(dataset: DataConfig, tmp_path: Path) -> None:
    before = ingest(dataset, "x", tmp_path / "before")
    images = [encode_png(image) for image in pictures(90, 9)]  # the very ones, and called bright all
    write_recent(labelled(images, "bright"), "x")
    after = ingest(dataset, "x", tmp_path / "after")
    assert splits_of(tmp_path / "after") == splits_of(tmp_path / "before")
    assert (after.conflicts, after.dropped_leaks, after.windows) == (0, 0, {})
    assert sum(after.left_out.values()) == sum(before.left_out.values()) + 90
    dark = sum(counts["dark"] for counts in before.counts.values())
    told = [count for reason, count in after.left_out.items() if "with another label" in reason]
    assert told == [dark], "what people say against the dataset was told as what it holds already"
    named = [line for line in after.dropped if "labelled 'dark' and not 'bright'" in line]
    assert len(named) == dark


def test_kept_window_with_a_class_that_went_is_told_and_not_refused(
    dataset: DataConfig, tmp_path: Path
) -> None:
    images = [encode_png(image) for image in pictures(30, 77)]
    write_recent([*labelled(images[:10], "zebra"), *labelled(images[10:])], "x")
    manifest = ingest(dataset, "x", tmp_path / "samples")
    assert manifest.rows == 110 and manifest.left_out[NO_CLASS] == 10


def test_recent_window_that_does_not_fit_is_refused(dataset: DataConfig, tmp_path: Path) -> None:
    window = write_recent(labelled([encode_png(image) for image in pictures(3, 77)]), "x")
    joined = dataset.model_copy(update={"extra_window": str(window)})
    manifest = window / "manifest.csv"
    written = manifest.read_text()
    manifest.write_text(written.replace("dark", "zebra"))
    with pytest.raises(DataError, match="its label zebra is not one of the dataset's classes"):
        ingest(joined, "x", tmp_path / "samples")
    for image in (window / "images").iterdir():
        image.rename(image.with_name(f"x{image.name}"))
    manifest.write_text(written.replace("images/", "images/x"))
    with pytest.raises(DataError, match="is not named by its sample id"):
        ingest(joined, "x", tmp_path / "samples")


def test_scores_are_of_labels_that_users_sent_and_of_answers_drawn_by_chance(serve: Serve) -> None:
    images = pictures(12, 3)
    log = serve(images)
    moment = datetime.now(UTC)
    names = [sample_id(image) for image in images]
    answers = dict.fromkeys(names[4:10], (CLASSES[0], moment))
    give_labels(log, {f"r{k}": CLASSES[0] for k in range(4)})
    found = labelled_window(
        log, "tiny", "1", moment - HOUR, moment + HOUR, CLASSES, answers, by_chance=set(names[4:7])
    )
    assert len(found.images) == 10 and len(found.scores) == 7, "three were asked about as the model doubted"
    assert {score for _, score in found.scores} <= {0.0, 1.0}


def test_feedback_that_contradicts_annotators_is_counted(serve: Serve) -> None:
    images = pictures(5, 1)
    log, moment = serve(images), datetime.now(UTC)
    give_labels(log, {"r0": CLASSES[0], "r1": CLASSES[0], "r2": "zebra"})
    ids = [sample_id(image) for image in images]
    answers = {
        ids[0]: (CLASSES[1], moment - HOUR),
        ids[1]: (CLASSES[0], moment),
        ids[2]: (CLASSES[1], moment),
    }
    found = labelled_window(log, "tiny", "1", moment - HOUR, moment + HOUR, CLASSES, answers)
    told = "1 image(s) have feedback that contradicts their annotators: the newest of both has the say"
    assert told in found.notes
