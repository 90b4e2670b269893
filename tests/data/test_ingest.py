from __future__ import annotations

import io
import os
import resource
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from linnet.config import DataConfig, load_config
from linnet.data.ingest import ingest, source_identity
from linnet.errors import ConfigError, DataError, StorageError
from linnet.records import SPLITS, DatasetManifest
from linnet.vision.decode import decode

REPOSITORY = Path(__file__).resolve().parents[2]
SHARES = {"validation_fraction": 0.2, "production_fraction": 0.2, "test_fraction": 0.2}


def table(samples: Path) -> list[dict[str, Any]]:
    manifest = DatasetManifest.load(samples / "manifest.json")
    return [row for shard in manifest.shards for row in pq.read_table(samples / shard).to_pylist()]


def config_of(folder: Path, **values: Any) -> DataConfig:
    return DataConfig(location=str(folder), **{**SHARES, **values})


def test_ingest_folder_writes_what_the_manifest_says(tmp_path: Path, photos: Path) -> None:
    out = tmp_path / "out"
    manifest = ingest(config_of(photos, captured_at="2020-02-03T00:00:00Z"), "pets", out)
    rows = table(out)
    assert DatasetManifest.load(out / "manifest.json") == manifest
    assert (manifest.rows, manifest.raw_rows, manifest.classes) == (120, 120, ("cat", "dog"))
    for split in SPLITS:
        for name in manifest.classes:
            found = sum(row["split"] == split and row["label"] == name for row in rows)
            assert manifest.counts[split][name] == found
    first = rows[0]
    assert first["origin"] == "cat/001.png"
    assert first["image"] == (photos / "cat" / "001.png").read_bytes()
    assert first["sample_id"] == decode(first["image"]).sample_id
    assert first["captured_at"] == datetime(2020, 2, 3, tzinfo=UTC)
    assert (first["label_source"], first["width"], first["channels"]) == ("dataset", 8, 1)


def test_notes_of_how_a_folder_was_read_stay_with_the_samples(tmp_path: Path, photos: Path) -> None:
    """`linnet init` showed them once; afterwards nobody knew that annotations had not been read."""
    (photos / "cat" / "boxes.json").write_text("{")
    (photos / "labels.csv").write_text('path,label\n"cat/001.png,cat\n')
    notes = ingest(config_of(photos), "pets", tmp_path / "out").notes
    assert any("may be annotations were not read (damaged): cat/boxes.json" in note for note in notes)
    assert any(note.startswith("labels.csv: is not a readable CSV table") for note in notes), notes
    assert DatasetManifest.load(tmp_path / "out" / "manifest.json").notes == notes


def test_times_of_tables_that_are_one_a_split_are_kept(tmp_path: Path, photos: Path) -> None:
    images = sorted(photos.rglob("*.png"))
    day = {"train": "2021-03-04", "test": "2022-05-06"}
    for number, split in enumerate(day):
        rows = [f"{p.relative_to(photos).as_posix()},{p.parent.name},{day[split]}" for p in images[number::2]]
        (photos / f"{split}.csv").write_text("path,label,captured_at\n" + "\n".join(rows) + "\n")
    ingest(config_of(photos, layout="tables"), "pets", tmp_path / "out")
    found = {
        (row["split"] == "test", row["captured_at"].date().isoformat()) for row in table(tmp_path / "out")
    }
    assert found == {(True, day["test"]), (False, day["train"])}


def test_ingest_twice_gives_identical_bytes(tmp_path: Path, photos: Path) -> None:
    config = config_of(photos)
    ingest(config, "pets", tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "part-00099.parquet").write_bytes(b"left by a killed try")
    ingest(config, "pets", tmp_path / "b")
    a, b = ({path.name: path.read_bytes() for path in (tmp_path / x).iterdir()} for x in "ab")
    assert a == b
    assert len(a) == 2


def test_ingest_more_data_never_moves_a_sample(
    tmp_path: Path, photos: Path, picture: Callable[..., bytes]
) -> None:
    for number in range(120, 440):
        (photos / "cat" / f"{number}.png").write_bytes(picture(number))
        (photos / "dog" / f"{number}.png").write_bytes(picture(1000 + number))
    ingest(config_of(photos), "pets", tmp_path / "a")
    for number in range(500, 560):
        (photos / "cat" / f"{number}.png").write_bytes(picture(number))
    ingest(config_of(photos), "pets", tmp_path / "b")
    later = {row["sample_id"]: row["split"] for row in table(tmp_path / "b")}
    assert all(later[row["sample_id"]] == row["split"] for row in table(tmp_path / "a"))


def test_ingest_duplicates_and_leaks_are_dropped_and_named(
    tmp_path: Path, picture: Callable[..., bytes]
) -> None:
    """The same pixels in another encoding count as the same image."""
    root = tmp_path / "p"
    for split, numbers in (("train", range(100)), ("test", range(100, 120))):
        for number in numbers:
            path = root / split / "ab"[number % 2] / f"{number:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture(number))
    again = io.BytesIO()
    Image.open(io.BytesIO(picture(0))).save(again, "WEBP", lossless=True, exact=True)
    gray = decode(again.getvalue()).pixels
    assert gray.shape[2] == 3  # WebP has no gray: other pixels for us, no duplicate
    stored = io.BytesIO()
    Image.open(io.BytesIO(picture(0))).save(stored, "PNG", compress_level=0)
    (root / "train" / "b" / "dup.png").write_bytes(stored.getvalue())
    (root / "train" / "a" / "leak.png").write_bytes(picture(100))
    (root / "test" / "b" / "twice.png").write_bytes(picture(101))
    manifest = ingest(config_of(root, conflicts="first"), "p", tmp_path / "out")
    assert (manifest.raw_rows, manifest.rows) == (123, 120)
    assert manifest.conflicts == 1
    assert (manifest.dropped_duplicates, manifest.dropped_leaks) == (2, 1)
    assert set(manifest.dropped) == {
        "train/b/dup.png: duplicate: the same pixels as train/a/000.png, labelled 'a' and not 'b'",
        "train/a/leak.png: leak: the same pixels stand in the test split as test/a/100.png",
        "test/b/twice.png: duplicate: the same pixels as test/b/101.png",
    }
    rows = table(tmp_path / "out")
    assert len({row["sample_id"] for row in rows}) == len(rows)
    assert {row["split"] for row in rows if row["origin"].startswith("test/")} == {"test"}


def test_ingest_any_mode_and_size_is_kept_as_it_is(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    written: dict[str, tuple[bytes, tuple[int, int, int]]] = {}
    modes = {"1": 1, "L": 1, "LA": 1, "P": 3, "RGB": 3, "RGBA": 3, "CMYK": 3, "I;16": 1}
    for number in range(80):
        mode = list(modes)[number % len(modes)]
        height, width = 3 + number, 70 - number // 2
        noise = rng.integers(0, 256, (height, width, 3), np.uint8)
        image = Image.fromarray(noise).convert("L").convert("I").convert("I;16") if mode == "I;16" else None
        image = image or Image.fromarray(noise).convert(mode)
        kind = "JPEG" if mode == "CMYK" else "PNG"
        buffer = io.BytesIO()
        image.save(buffer, kind)
        name = f"{'ab'[number // 8 % 2]}/{number:02d}.bin"
        written[name] = (buffer.getvalue(), (width, height, modes[mode]))
        (tmp_path / "p" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "p" / name).write_bytes(buffer.getvalue())
    ingest(config_of(tmp_path / "p"), "p", tmp_path / "out")
    rows = table(tmp_path / "out")
    assert len(rows) == 80
    for row in rows:
        assert (row["image"], (row["width"], row["height"], row["channels"])) == written[row["origin"]]


def test_ingest_large_files_keep_their_order_over_threads(
    tmp_path: Path, picture: Callable[..., bytes]
) -> None:
    for number in range(200):  # more than the threads run ahead
        path = tmp_path / "p" / "ab"[number % 2] / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number, 64, 64, 3))
    assert path.stat().st_size > 8192
    ingest(config_of(tmp_path / "p"), "p", tmp_path / "out")
    for row in table(tmp_path / "out"):
        assert row["image"] == (tmp_path / "p" / row["origin"]).read_bytes()
        assert row["sample_id"] == decode(row["image"]).sample_id


def test_ingest_unreadable_images_stop_it_and_are_named(tmp_path: Path, photos: Path) -> None:
    truncated = photos / "cat" / "003.png"
    truncated.write_bytes(truncated.read_bytes()[:80])
    (photos / "dog" / "notes.jpg").write_text("not an image")
    with pytest.raises(DataError, match="2 of 121 images cannot be used") as caught:
        ingest(config_of(photos, bad_files="fail"), "pets", tmp_path / "out")
    text = str(caught.value)
    assert "cat/003.png: is not a readable" in text
    assert "dog/notes.jpg: is not a readable image (PNG, JPEG, WebP" in text
    assert "Repair or remove these files" in text
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_ingest_too_many_pixels_is_refused_by_name(
    tmp_path: Path, photos: Path, picture: Callable[..., bytes]
) -> None:
    (photos / "cat" / "big.png").write_bytes(picture(1, 9, 9))
    with pytest.raises(DataError, match=r"cat/big\.png: is 9 x 9 pixels .* \(data\.max_pixels\)"):
        ingest(config_of(photos, max_pixels=80, bad_files="fail"), "pets", tmp_path / "out")


def test_ingest_manifest_keeps_cohorts_times_and_splits(tmp_path: Path, photos: Path) -> None:
    lines = ["path,label,split,captured_at,camera"]
    for number, path in enumerate(sorted(photos.rglob("*.png"))):
        split = SPLITS[number % 4]
        lines.append(f"{path.relative_to(photos)},{path.parent.name},{split},2024-01-01,c{number % 3}")
    (photos / "manifest.csv").write_text("\n".join(lines))
    config = config_of(photos, kind="manifest", cohorts=("camera",))
    manifest = ingest(config, "pets", tmp_path / "out")
    rows = table(tmp_path / "out")
    assert [row["split"] for row in rows[:5]] == ["train", "validation", "test", "production", "train"]
    assert [row["cohort_camera"] for row in rows[:4]] == ["c0", "c1", "c2", "c0"]
    assert rows[0]["captured_at"] == datetime(2024, 1, 1, tzinfo=UTC)
    assert manifest.cohorts == ("camera",)


@pytest.mark.parametrize("change", ["byte", "name", "label", "nothing"])
def test_source_identity_changes_with_the_content(
    tmp_path: Path, photos: Path, picture: Callable[..., bytes], change: str
) -> None:
    config = config_of(photos)
    before = source_identity(config)
    assert ingest(config, "pets", tmp_path / "out").digest == before
    victim = photos / "cat" / "001.png"
    if change == "byte":
        victim.write_bytes(picture(999))
    elif change == "name":
        victim.rename(victim.with_name("000.png"))
    elif change == "label":
        victim.rename(photos / "dog" / "001.png")
    else:
        os.utime(victim, (1, 1))
    assert (source_identity(config) == before) == (change == "nothing")


def test_ingest_dvc_file_and_revision_give_that_version(
    tmp_path: Path,
    photos: Path,
    picture: Callable[..., bytes],
    write_dvc: Callable[..., Path],
    git: Callable[..., str],
) -> None:
    def photo_files() -> dict[str, bytes]:
        return {path.relative_to(photos).as_posix(): path.read_bytes() for path in photos.rglob("*.png")}

    installed = shutil.copytree(photos, tmp_path / "v1")
    path = write_dvc(tmp_path / "toy.dvc", photo_files(), installed_folder=str(installed))
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "toy.dvc")
    git(tmp_path, "commit", "-q", "-m", "v1")
    (photos / "cat" / "new.png").write_bytes(picture(999))
    write_dvc(path, photo_files(), installed_folder=str(photos))
    new = ingest(config_of(path), "pets", tmp_path / "new")
    old = ingest(config_of(path, revision="HEAD"), "pets", tmp_path / "old")
    assert (old.rows, new.rows) == (120, 121)
    assert (old.revision, new.revision) == ("HEAD", "")
    assert old.digest == source_identity(config_of(path, revision="HEAD")) != new.digest
    assert new.digest in path.read_text()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cohorts": ("camera",)}, r"data\.cohorts: a dataset of kind 'folder' has no columns"),
        ({"revision": "HEAD"}, r"data\.revision: needs a \.dvc file"),
        ({"captured_at": "noon"}, r"data\.captured_at: 'noon' is not an ISO 8601 time"),
    ],
)
def test_ingest_setting_that_does_not_fit_is_named(
    tmp_path: Path, photos: Path, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        ingest(config_of(photos, **values), "pets", tmp_path / "out")


def test_ingest_too_few_images_for_every_split_says_so(tmp_path: Path, picture: Callable[..., bytes]) -> None:
    for name in "ab":
        (tmp_path / "p" / name).mkdir(parents=True)
        (tmp_path / "p" / name / "1.png").write_bytes(picture(ord(name)))
    with pytest.raises(DataError, match="2 different images are too few: none is left for"):
        ingest(config_of(tmp_path / "p"), "p", tmp_path / "out")


def test_ingest_disk_full_is_one_storage_error_and_goes_on_later(tmp_path: Path, photos: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))
    try:
        with pytest.raises(StorageError, match=r"out: File too large; .* free some space and run"):
            ingest(config_of(photos), "pets", tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list((tmp_path / "out").iterdir()) == []
    assert ingest(config_of(photos), "pets", tmp_path / "out").rows == 120


@pytest.mark.slow
def test_ingest_fashion_mnist_keeps_the_official_test_split(
    tmp_path: Path, fashion_mnist: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """70,000 images; none of them stands there twice, which numpy confirms from the raw files."""
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setenv("LINNET_HOME", str(REPOSITORY / ".linnet"))
    seen: list[tuple[str, int, int]] = []
    config = load_config(REPOSITORY / "configs" / "fashion.toml").data
    manifest = ingest(config, "fashion", tmp_path / "out", lambda *report: seen.append(report))
    images = np.concatenate(
        [
            np.fromfile(fashion_mnist / f"{prefix}-images-idx3-ubyte", np.uint8)[16:].reshape(-1, 784)
            for prefix in ("train", "t10k")
        ]
    )
    assert len({image.tobytes() for image in images}) == manifest.rows == 70_000
    assert (manifest.dropped_duplicates, manifest.dropped_leaks) == (0, 0)
    assert sum(manifest.counts["test"].values()) == 10_000
    assert set(manifest.counts["test"].values()) == {1000}
    assert 2700 < sum(manifest.counts["production"].values()) < 3300
    for shard in manifest.shards:  # the split of every version so far, written out
        rows = pq.read_table(tmp_path / "out" / shard, columns=["sample_id", "split", "origin"]).to_pylist()
        for row in rows:
            first = int(row["sample_id"][:16], 16) / 2**64
            want = "validation" if first < 0.05 else "production" if first < 0.05 + 0.05 else "train"
            assert row["split"] == ("test" if row["origin"].startswith("t10k") else want)
    assert seen[-1] == ("writing samples", 70_000, 70_000)
    last = pq.read_table(tmp_path / "out" / manifest.shards[-1]).slice(9_999).to_pylist()[0]
    np.testing.assert_array_equal(decode(last["image"]).pixels.reshape(-1), images[-1])
    assert last["origin"] == "t10k-images-idx3-ubyte#9999"
