"""Copies, contradictions, near copies and groups: what ingest makes of them."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from linnet.config import DataConfig, ValidationConfig
from linnet.console.views import data as data_view
from linnet.data import near_duplicates
from linnet.data.ingest import ingest
from linnet.data.near_duplicates import near_pairs, thumbnail
from linnet.data.validate import validate
from linnet.errors import ConfigError, DataError, ValidationFailed
from linnet.records import DatasetManifest
from linnet.report.evidence import RunEvidence
from linnet.report.render import html
from tests.console.records import run_record

SHARES = {"validation_fraction": 0.2, "production_fraction": 0.2, "test_fraction": 0.2}


def config_of(folder: Path, **values: Any) -> DataConfig:
    return DataConfig(location=str(folder), **{**SHARES, **values})


def table(samples: Path) -> list[dict[str, Any]]:
    manifest = DatasetManifest.load(samples / "manifest.json")
    return [row for shard in manifest.shards for row in pq.read_table(samples / shard).to_pylist()]


def photo(seed: int, side: int = 128, color: bool = True) -> Image.Image:
    """A smooth scene with some structure, as a camera gives it."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9, 3 if color else 1), np.uint8)
    image = Image.fromarray(coarse if color else coarse[:, :, 0])
    return image.resize((side, side), Image.Resampling.BICUBIC)


def copies(image: Image.Image) -> dict[str, Image.Image]:
    """The copies that people make without knowing."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=70)
    dotted = image.copy()
    dotted.putpixel((3, 5), (255, 255, 255))
    width, height = image.size
    return {
        "jpeg": Image.open(buffer),
        "larger": image.resize((width + 1, height + 1), Image.Resampling.BILINEAR),
        "smaller": image.resize((width - 1, height - 1), Image.Resampling.LANCZOS),
        "dotted": dotted,
    }


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """A train and a test folder, 24 photos of each of two classes in each."""
    for number in range(96):
        file = tmp_path / "p" / ("train" if number < 48 else "test") / "ab"[number % 2] / f"{number:02d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        photo(number).save(file)
    return tmp_path / "p"


def leak(root: Path) -> int:
    """Puts changed copies of six test photos into train; how many."""
    for number in range(48, 54):
        for what, image in copies(photo(number)).items():
            image.save(root / "train" / "ab"[number % 2] / f"{number}-{what}.png")
    return 24


def test_changed_copies_of_test_photos_leave_training_and_are_named(tmp_path: Path, scenes: Path) -> None:
    leaks = leak(scenes)
    manifest = ingest(config_of(scenes), "p", tmp_path / "out")
    assert (manifest.near_leaks, manifest.rows, manifest.near_note) == (leaks, 96, "")
    assert "train/a/48-jpeg.png: leak: nearly the same as test/a/48.png in the test split" in manifest.dropped
    assert not [row for row in table(tmp_path / "out") if "-" in row["origin"]]


def test_changed_copies_are_only_counted_where_the_config_says_so(tmp_path: Path, scenes: Path) -> None:
    leaks = leak(scenes)
    manifest = ingest(config_of(scenes, near_duplicates="report"), "p", tmp_path / "out")
    assert manifest.rows == 96 + leaks
    assert manifest.near_leaks >= leaks
    assert manifest.dropped == ()
    ignored = ingest(config_of(scenes, near_duplicates="ignore"), "p", tmp_path / "out")
    assert (ignored.near_leaks, ignored.near_duplicates, ignored.rows) == (0, (), 96 + leaks)


def test_changed_copies_stand_on_one_side_where_linnet_splits(tmp_path: Path) -> None:
    for number in range(60):
        folder = tmp_path / "p" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        photo(number).save(folder / f"{number:02d}.png")
        for what, image in copies(photo(number)).items() if number < 24 else ():
            image.save(folder / f"{number:02d}-{what}.png")
    manifest = ingest(config_of(tmp_path / "p"), "p", tmp_path / "out")
    assert (manifest.rows, manifest.near_leaks, manifest.dropped) == (60 + 96, 0, ())
    sides: dict[str, set[str]] = {}
    for row in table(tmp_path / "out"):
        sides.setdefault(Path(row["origin"]).stem.partition("-")[0], set()).add(row["split"])
    assert all(len(splits) == 1 for splits in sides.values())
    assert {split for splits in sides.values() for split in splits} == {
        "train",
        "validation",
        "production",
        "test",
    }


def test_flat_and_different_images_are_no_near_duplicates() -> None:
    flat = [thumbnail(np.full((64, 64, 1), shade, np.uint8)) for shade in range(100)]
    other = [thumbnail(np.asarray(photo(seed))) for seed in range(500)]
    red = np.asarray(photo(1))
    blue = red[:, :, ::-1]
    assert len(near_pairs([*flat, *other, thumbnail(blue)], [128] * 601).pairs) == 0


def test_images_of_too_little_contrast_are_counted_as_not_compared() -> None:
    """Of 20 pairs none was found, and no word said that nobody had looked."""
    rng = np.random.default_rng(0)
    faint = [rng.integers(126, 131, (256, 256, 1), np.uint8) for _ in range(20)]
    twins = [
        np.clip(one + (np.arange(256) % 97 == 0)[:, None, None], 0, 255).astype(np.uint8) for one in faint
    ]
    found = near_pairs([thumbnail(one) for one in (*faint, *twins)], [256] * 40)
    assert len(found.pairs) == 0
    assert found.note.startswith("40 image(s) were not compared with others for near duplicates")
    mixed = [*(thumbnail(np.asarray(photo(seed))) for seed in range(3)), thumbnail(faint[0])]
    assert near_pairs(mixed, [128] * 4).note.startswith("1 image(s) were not compared")
    assert near_pairs(mixed[:3], [128] * 3).note == "" == near_pairs([], []).note


def test_small_image_that_was_resized_by_a_pixel_is_a_near_duplicate() -> None:
    """Of 28 pixels, where a box filter took a pixel more or less: none was found."""
    images = [photo(seed, 28) for seed in range(200)]
    small = [thumbnail(np.asarray(image)) for image in images]
    for image in images[:50]:
        made = copies(image)
        small += [thumbnail(np.asarray(made[what])) for what in ("larger", "smaller")]
    pairs = near_pairs(small, [27] * len(small)).pairs.tolist()
    found = {(first, second) for first, second in pairs}
    assert {(number, 200 + 2 * number + which) for number in range(50) for which in (0, 1)} <= found
    assert not [pair for pair in found if max(pair) < 200], "and images that differ are none"


def test_near_pairs_are_those_of_a_plain_double_loop() -> None:
    """Against the definition: the tree and its projection lose no pair and add none."""
    rng = np.random.default_rng(3)
    base = [np.asarray(photo(seed, 32)) for seed in range(60)]
    images = base + [
        np.clip(image.astype(int) + rng.normal(0, noise, image.shape), 0, 255).astype(np.uint8)
        for image in base
        for noise in (4, 12, 24)
    ]
    small = [thumbnail(image) for image in images]
    values = np.array([np.frombuffer(one, np.uint8) for one in small]).astype(np.float64)
    values -= values.mean(axis=1, keepdims=True)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    distance = np.linalg.norm(values[:, None] - values[None], axis=2)
    for side, radius in ((32, 0.07), (64, 0.1)):
        wanted = [
            (i, j) for i in range(len(images)) for j in range(i + 1, len(images)) if distance[i, j] <= radius
        ]
        found = [tuple(pair) for pair in near_pairs(small, [side] * len(small)).pairs.tolist()]
        assert found == wanted
        assert wanted


@pytest.mark.slow
def test_near_pairs_of_many_images_takes_seconds() -> None:
    """30,000 scenes with 300 copies among them, on a machine that does other things."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (30_000, 8, 8, 3), np.uint8)
    small = [image.repeat(2, axis=0).repeat(2, axis=1).tobytes() for image in coarse]
    small += [
        bytes(np.clip(np.frombuffer(one, np.uint8).astype(int) + 1, 0, 255).astype(np.uint8))
        for one in small[:300]
    ]
    began = time.process_time()
    pairs = near_pairs(small, [128] * len(small)).pairs
    assert time.process_time() - began < 60
    assert {(i, 30_000 + i) for i in range(300)} == {tuple(pair) for pair in pairs.tolist()}


def test_narrower_search_of_a_dataset_of_nearly_equal_images_is_told(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leak(scenes)
    monkeypatch.setattr(near_duplicates, "_MOST_PAIRS", 30)
    manifest = ingest(config_of(scenes), "p", tmp_path / "out")
    told = r"near duplicates were looked for within 0(\.0[0-9]+)? instead of 0\.1: "
    assert re.match(told, manifest.near_note), manifest.near_note
    assert "instead of 0.1" in data_view.dropped(manifest)


def test_search_ends_where_the_images_are_all_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "_MOST_PAIRS", 3)
    found = near_pairs([thumbnail(np.asarray(photo(1)))] * 10, [128] * 10)
    assert len(found.pairs) == 0 and "within 0 instead of 0.1" in found.note


@pytest.fixture
def contradicting(tmp_path: Path, photos: Path) -> Path:
    """One image as cat and as dog, in two files."""
    (photos / "dog" / "again.png").write_bytes((photos / "cat" / "001.png").read_bytes())
    return photos


def test_contradicting_labels_leave_both_out_and_are_named(tmp_path: Path, contradicting: Path) -> None:
    manifest = ingest(config_of(contradicting), "pets", tmp_path / "out")
    assert (manifest.raw_rows, manifest.rows, manifest.conflicts) == (121, 119, 2)
    assert "dog/again.png: conflict: the same pixels are labelled 'cat', 'dog'" in manifest.dropped
    assert not [row for row in table(tmp_path / "out") if row["origin"] in ("cat/001.png", "dog/again.png")]


def test_contradicting_labels_first_wins_or_stops_as_the_config_says(
    tmp_path: Path, contradicting: Path
) -> None:
    manifest = ingest(config_of(contradicting, conflicts="first"), "pets", tmp_path / "out")
    assert (manifest.rows, manifest.conflicts, manifest.dropped_duplicates) == (120, 1, 1)
    with pytest.raises(
        DataError, match=r"1 image\(s\) have contradicting labels:\n  - cat/001\.png \(cat\), dog/again"
    ):
        ingest(config_of(contradicting, conflicts="fail"), "pets", tmp_path / "out")


def test_one_file_with_two_labels_in_a_manifest_is_a_contradiction(tmp_path: Path, photos: Path) -> None:
    rows = [f"{path.relative_to(photos)},{path.parent.name}" for path in sorted(photos.rglob("*.png"))]
    (photos / "manifest.csv").write_text("\n".join(["path,label", *rows, "cat/001.png,dog"]))
    manifest = ingest(config_of(photos, kind="manifest"), "pets", tmp_path / "out")
    assert (manifest.raw_rows, manifest.rows, manifest.conflicts) == (121, 119, 2)


def grouped(root: Path, picture: Callable[..., bytes]) -> Path:
    for number in range(240):
        file = root / "ab"[number // 8 % 2] / f"patient{number // 8:02d}_{number % 8}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture(number))
    return root


@pytest.mark.parametrize("kind", ["folder", "manifest"])
def test_group_never_straddles_splits(tmp_path: Path, picture: Callable[..., bytes], kind: str) -> None:
    root = grouped(tmp_path / "p", picture)
    if kind == "manifest":
        files = sorted(root.rglob("*.png"))
        lines = [
            f"{file.relative_to(root)},{file.parent.name},{file.stem.partition('_')[0]}" for file in files
        ]
        (root / "manifest.csv").write_text("\n".join(["path,label,who", *lines]))
    how = {"folder": r"(patient\d+)_", "manifest": "who"}[kind]
    ingest(config_of(root, kind=kind, group=how), "p", tmp_path / "out")
    sides: dict[str, set[str]] = {}
    for row in table(tmp_path / "out"):
        sides.setdefault(Path(row["origin"]).stem.partition("_")[0], set()).add(row["split"])
    assert len(sides) == 30
    assert all(len(splits) == 1 for splits in sides.values())
    assert {split for splits in sides.values() for split in splits} == {
        "train",
        "validation",
        "production",
        "test",
    }


def test_group_that_does_not_fit_is_refused(
    tmp_path: Path, picture: Callable[..., bytes], photos: Path
) -> None:
    root = grouped(tmp_path / "p", picture)
    (root / "a" / "other.png").write_bytes(picture(999))
    with pytest.raises(
        ConfigError, match=r"data\.group: 'patient.*does not fit 1 of 241 paths, such as a/other\.png"
    ):
        ingest(config_of(root, group=r"patient(\d+)"), "p", tmp_path / "out")
    with pytest.raises(ConfigError, match="is not a regular expression"):
        ingest(config_of(photos, group="("), "p", tmp_path / "out")


def test_group_in_two_official_splits_is_refused_by_name(tmp_path: Path, scenes: Path) -> None:
    for split in ("train", "test"):
        for number in range(2):
            photo(500 + number + len(split)).save(scenes / split / "a" / f"g7_{number}.png")
    with pytest.raises(DataError, match=r"1 group\(s\) stand in several splits:\n  - g7: test, train"):
        ingest(config_of(scenes, group=r"(g\d+|\d+)"), "p", tmp_path / "out")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Great Expectations' own, at import
def test_conflicts_and_near_duplicates_stand_in_validation_console_and_report(
    tmp_path: Path, scenes: Path
) -> None:
    """They were written into the manifest, and no page but the first line of a log read them."""
    (scenes / "train" / "b" / "again.png").write_bytes((scenes / "train" / "a" / "00.png").read_bytes())
    copies(photo(47))["jpeg"].save(scenes / "train" / "a" / "nearly.png")  # 47.png is of class b
    leaks = leak(scenes)
    config = config_of(scenes)
    manifest = ingest(config, "p", tmp_path / "samples")
    assert (manifest.conflicts, manifest.near_leaks, manifest.near_conflicts) == (2, leaks, 1)
    assert manifest.near_pairs == len(manifest.near_duplicates) > leaks
    assert "labelled" in manifest.near_duplicates[0], "of very many the first are named"
    strict = ValidationConfig(min_per_class=1, max_conflict_fraction=0.0)
    with pytest.raises(ValidationFailed) as refused:
        validate(tmp_path / "samples", strict, config, tmp_path / "report")
    assert "image train/b/again.png: conflict: the same pixels are labelled 'a', 'b'" in str(refused.value)
    assert "nearly the same as test/a/48.png in the test split" in str(refused.value)
    shown = RunEvidence(tmp_path, run_record("r1"), dataset=manifest)
    pages = {
        "validation": (tmp_path / "report" / "data_docs" / "index.html").read_text(),
        "console": str(data_view.figures(manifest)) + str(data_view.dropped(manifest)),
        "report": html(shown),
    }
    for page, text in pages.items():
        words = unescape(re.sub(r"<[^>]+>", " ", text))
        for line in (*manifest.dropped[:5], *manifest.near_duplicates[:5]):
            assert all(part in words for part in line.split(": ", 1)), (page, line)
        for what in ("conflict: equal pixels", "near leak: nearly", "nearly equal images with different"):
            assert what in words, (page, what)


def test_number_of_what_is_named_is_that_of_all_and_not_of_those_that_are_named() -> None:
    manifest = DatasetManifest(
        name="p", digest="d", revision="", classes=("a", "b"), counts={}, shards=(), rows=10_000,
        raw_rows=15_000, dropped_duplicates=5000, dropped_leaks=0, dropped=("a/1.png: duplicate",) * 1000,
        near_duplicates=("a/2.png: nearly the same",) * 1000, near_pairs=1234,
    )  # fmt: skip
    shown = str(data_view.dropped(manifest))
    assert "Images that were dropped: 5,000, the first 1,000" in shown
    assert "Pairs of nearly equal images: 1,234, the first 1,000" in shown
    assert "6,234 of them by name, the first 50" in html(
        RunEvidence(Path(), run_record("r1"), dataset=manifest)
    )
