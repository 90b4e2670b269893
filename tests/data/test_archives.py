"""Datasets that are packed: what `init` says of them, and what `ingest` takes from them."""

from __future__ import annotations

import io
import tarfile
import tomllib
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from linnet.config import parse_config
from linnet.data.archives import opened
from linnet.data.ingest import ingest, source_identity
from linnet.data.init_config import config_for
from linnet.data.layout import understand
from linnet.errors import DataError
from linnet.vision.decode import encode_png


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LINNET_HOME", str(tmp_path / "home"))
    return tmp_path


def image(number: int) -> bytes:
    return encode_png(np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8))


def tar(file: Path, files: Mapping[str, bytes]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as packed:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            packed.addfile(entry, io.BytesIO(content))


def shard(file: Path, first: int, count: int = 8) -> None:
    """One of a WebDataset's: cats and dogs in turn."""
    numbers = range(first, first + count)
    images = {f"{number:05}.png": image(number) for number in numbers}
    tar(file, images | {f"{number:05}.cls": b"cat\n" if number % 2 else b"dog" for number in numbers})


def pets(count: int = 8) -> dict[str, bytes]:
    return {f"pets/{('cat', 'dog')[n % 2]}/{n}.png": image(n) for n in range(count)}


def classes_by_split(place: Path) -> Counter[tuple[str, str]]:
    return Counter((found.split, found.label) for found in understand(opened(place)).images)


def test_shards_of_a_webdataset_are_read_and_their_names_tell_the_split(home: Path) -> None:
    for name, first in {"train-000": 0, "train-001": 8, "pets-val-000": 16}.items():
        shard(home / "shards" / f"{name}.tar", first)
    expected = {("train", "cat"): 8, ("train", "dog"): 8, ("validation", "cat"): 4, ("validation", "dog"): 4}
    assert classes_by_split(home / "shards") == expected


@pytest.mark.parametrize("names", ["train-{:06}", "{:06}", "pets-{:03}", "train-{:03} val-{:03}"])
def test_shards_of_a_split_are_never_its_classes(home: Path, names: str) -> None:
    """The classes were 000000 and 000001: the folders of the shards, which shadowed the `.cls` files."""
    for number in range(3):
        for at, name in enumerate(names.split()):
            shard(home / "shards" / f"{name.format(number)}.tar", 100 * at + 8 * number)
    found = understand(opened(home / "shards"))
    assert (found.reading, found.labels) == ("webdataset", {"cat", "dog"})
    assert Counter(image.label for image in found.images) == dict.fromkeys(
        ("cat", "dog"), 12 * len(names.split())
    )


def test_shard_with_an_image_without_its_class_is_refused_and_no_class(home: Path) -> None:
    for number in range(2):
        shard(home / "shards" / f"train-{number:03}.tar", 8 * number)
    tar(home / "shards" / "train-002.tar", {"x.png": image(99)})
    with pytest.raises(DataError, match=r"(?s)1 image\(s\) have no readable \.cls file.*x\.png"):
        understand(opened(home / "shards"))


def test_class_files_in_folders_that_may_be_classes_are_refused_until_somebody_says(home: Path) -> None:
    for number in range(8):
        place = home / "data" / ("siam", "boxer")[number // 4] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(image(number))
        place.with_suffix(".cls").write_text(("cat", "dog")[number % 2])
    with pytest.raises(DataError, match="--layout webdataset` or `--layout classes`"):
        understand(home / "data")
    assert understand(home / "data", layout="webdataset").labels == {"cat", "dog"}
    assert understand(home / "data", layout="classes").labels == {"siam", "boxer"}


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_one_archive_is_the_folder_that_it_holds(home: Path, kind: str) -> None:
    file = home / f"pets.{kind}"
    if kind == "tar":
        tar(file, pets())
    else:
        with zipfile.ZipFile(file, "w") as packed:
            for name, content in pets().items():
                packed.writestr(name, content)
    assert classes_by_split(file) == {("", "cat"): 4, ("", "dog"): 4}


def test_archives_beside_images_are_left_alone(home: Path) -> None:
    tar(home / "data" / "old.tar", pets())
    for name, content in pets().items():
        path = home / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    assert opened(home / "data") == home / "data"
    assert "old.tar" in {item.origin for item in understand(home / "data").left_out}


def test_archive_beside_a_table_or_idx_files_is_left_alone(home: Path) -> None:
    """The images of the table lie elsewhere: the folder holds none, and its archive is somebody's backup."""
    folder, other = home / "tables", home / "images"
    tar(folder / "backup.tar", pets())
    other.mkdir()
    for number in range(80):
        (other / f"{number}.png").write_bytes(image(number))
    lines = [f"{other}/{n}.png,{('cat', 'dog')[n % 2]}" for n in range(80)]
    (folder / "manifest.csv").write_text("\n".join(["path,label", *lines]))
    config = parse_config(tomllib.loads(config_for("pets", folder).text)).data
    assert config.kind == "manifest" and config.location == str(folder)
    assert ingest(config, "pets", home / "out").raw_rows == 80
    assert not (home / "home" / "data" / "unpacked").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("labels.csv", "labels.csv lies beside packed files, and may hold the labels"),
        ("annotations.json", "annotations.json lies beside packed files, and may hold the labels"),
        ("pets/labels.txt", "labels.txt lies beside packed files, and may hold the labels"),
        ("data.yaml", "data.yaml lies beside packed files, and may hold the labels"),
        ("1.xml", "1.xml lies beside packed files, and may hold the labels"),
        ("more.rar", "more.rar lies beside packed files, and is packed in a way that is not read"),
        ("pets/more.7z", "more.7z lies beside packed files"),
    ],
)
def test_what_lies_beside_an_archive_is_never_left_out_unsaid(home: Path, name: str, words: str) -> None:
    """The classes were the folders in the archive, and the table beside it was not mentioned."""
    tar(home / "data" / "images.tar", pets())
    (home / "data" / name).parent.mkdir(exist_ok=True)
    (home / "data" / name).write_text("path,label\ncat/0.png,dog\n")
    with pytest.raises(DataError, match=words):
        opened(home / "data")


def test_shard_that_is_a_link_to_nothing_is_refused(home: Path) -> None:
    """It was missing from the dataset, and nothing said so."""
    shard(home / "shards" / "train-000.tar", 0)
    (home / "shards" / "train-001.tar").symlink_to(home / "gone.tar")
    with pytest.raises(DataError, match=r"train-001\.tar lies beside .* is lost \(link to nothing\)"):
        opened(home / "shards")


@pytest.mark.parametrize("name", ["README.txt", "LICENSE.txt", "dataset_info.json", "00000_stats.json"])
def test_what_tells_of_a_dataset_or_a_shard_holds_no_labels(home: Path, name: str) -> None:
    shard(home / "shards" / "00000.tar", 0)
    (home / "shards" / name).write_text("of these images")
    assert len(understand(opened(home / "shards")).images) == 8


def test_table_of_a_shard_is_no_table_of_labels(home: Path) -> None:
    shard(home / "shards" / "00000.tar", 0)
    (home / "shards" / "00000.parquet").write_bytes(b"what a tool that packs shards says of this one")
    assert len(understand(opened(home / "shards")).images) == 8


def test_change_of_an_archive_is_seen_and_one_that_is_gone_leaves_nothing(home: Path) -> None:
    shard(home / "shards" / "a-0.tar", 0)
    shard(home / "shards" / "a-1.tar", 8)
    assert len(understand(opened(home / "shards")).images) == 16
    shard(home / "shards" / "a-0.tar", 100, count=10)
    assert len(understand(opened(home / "shards")).images) == 18
    (home / "shards" / "a-1.tar").unlink()
    assert len(understand(opened(home / "shards")).images) == 10


def test_config_names_the_archive_and_ingest_takes_all_of_it(home: Path) -> None:
    tar(home / "pets.tar", pets(120))
    made = config_for("pets", home / "pets.tar")
    config = parse_config(tomllib.loads(made.text)).data
    assert config.location == str(home / "pets.tar")
    manifest = ingest(config, "pets", home / "out")
    assert manifest.raw_rows == 120 and manifest.classes == ("cat", "dog")
    assert source_identity(config) == manifest.digest


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a.tar": {"../../evil.png": b"x"}}, "a.tar: cannot be unpacked"),
        ({"a.tar": None}, "a.tar: cannot be unpacked"),
        ({"a-1.tar": {"b.png": b"x"}, "a_1.tar": {"b.png": b"x"}}, "one folder"),
    ],
)
def test_archive_that_cannot_be_unpacked_is_named(
    home: Path, files: dict[str, dict[str, bytes] | None], words: str
) -> None:
    for name, content in files.items():
        tar(home / "data" / name, content or {})
        if content is None:
            (home / "data" / name).write_bytes(b"no archive")
    with pytest.raises(DataError, match=words):
        opened(home / "data")
    assert not list(home.rglob("evil.png"))


def test_packed_table_is_refused_in_words(home: Path) -> None:
    table = "path,label\n" + "".join(f"{n}.png,{('cat', 'dog')[n % 2]}\n" for n in range(8))
    tar(home / "pets.tar", {f"{n}.png": image(n) for n in range(8)} | {"labels.csv": table.encode()})
    with pytest.raises(DataError, match="is packed, and its labels stand in a table"):
        config_for("pets", home / "pets.tar")


def test_what_marks_an_unpacked_archive_is_no_part_of_the_dataset(home: Path) -> None:
    """Each was told as a hidden file that was left out."""
    shard(home / "data" / "train-000.tar", 0)
    shard(home / "data" / "train-001.tar", 8)
    found = understand(opened(home / "data"))
    assert (len(found.images), [item.origin for item in found.left_out if "unpacked" in item.origin]) == (
        16,
        [],
    )
    (home / "data" / "train-001.tar").unlink()
    again = opened(home / "data")
    assert len(understand(again).images) == 8
    assert [path.name for path in again.parent.rglob("*.unpacked")] == ["000.unpacked"]
    (again.parent / ".old.unpacked").write_text("of an older Linnet")
    (again.parent / "old").mkdir()
    assert {path.name for path in opened(home / "data").parent.iterdir()} == {"files", "stamps"}
