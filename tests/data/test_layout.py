from __future__ import annotations

import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from linnet.config import Layout
from linnet.data.folder_tree import walk
from linnet.data.image_folder import read_image_folder
from linnet.data.image_manifest import read_manifest
from linnet.data.layout import split_named, understand
from linnet.errors import DataError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def found(root: Path, classes: tuple[str, ...] = (), layout: Layout = "auto") -> dict[str, tuple[str, str]]:
    return {image.origin: (image.split, image.label) for image in understand(root, classes, layout).images}


SPELLINGS = {
    "train": ("train", "Train", "TRAINING", "training"),
    "validation": ("val", "valid", "Validation", "dev", "eval", "VAL"),
    "test": ("test", "Testing", "TEST", "holdout"),
}


@pytest.mark.parametrize(
    ("split", "word"), [(split, word) for split, words in SPELLINGS.items() for word in words]
)
def test_split_folder_in_any_spelling_is_that_split(tmp_path: Path, split: str, word: str) -> None:
    first = "test" if split == "train" else "train"
    touch(tmp_path, f"{first}/a/1.png", f"{first}/b/2.png", f"{word}/a/3.png", f"{word}/b/4.png")
    assert {value for name, value in found(tmp_path).items() if name.startswith(word)} == {
        (split, "a"),
        (split, "b"),
    }


@pytest.mark.parametrize("word", ["val", "Valid", "TRAINING", "holdout", "eval"])
def test_manifest_takes_the_split_names_that_a_folder_may_have(tmp_path: Path, word: str) -> None:
    touch(tmp_path, "1.png", "2.png")
    (tmp_path / "manifest.csv").write_text(f"path,label,split\n1.png,a,{word}\n2.png,b,{word}\n")
    assert {row.split for row in read_manifest(tmp_path).rows} == {split_named(word)}


def test_symlinked_folders_are_followed_and_all_else_is_counted(tmp_path: Path) -> None:
    root = touch(
        tmp_path / "photos", *(f"cat/{n}.png" for n in range(20)), *(f"dog/{n}.png" for n in range(40))
    )
    touch(tmp_path / "elsewhere", *(f"{n}.png" for n in range(20)))
    (root / "cat" / "more").symlink_to(tmp_path / "elsewhere")
    (root / "cat" / "gone").symlink_to("nowhere")
    (root / "cat" / "gone.png").symlink_to("nowhere.png")
    (root / "cat" / "up").symlink_to(root)
    (root / "dog" / "self").symlink_to("self")
    touch(root, "dog/Thumbs.db", "__MACOSX/cat/._0.png", "dog/.DS_Store")
    read = understand(root)
    assert len(read.images) == 80
    reasons = {item.origin: item.reason for item in read.left_out}
    assert reasons == {
        "cat/gone": "link to nothing",
        "cat/gone.png": "link to nothing",
        "cat/up/": "link to a folder above it",
        "dog/self": "cannot be read: Too many levels of symbolic links",
        "dog/Thumbs.db": "not an image",
        "dog/.DS_Store": "hidden",
        "__MACOSX/": "written by a system, not by a person",
    }
    assert "link to nothing: cat/gone, cat/gone.png" in read.tree()


def test_every_file_is_an_image_or_left_out(tmp_path: Path) -> None:
    """Over many odd trees: what is below the folder is what was found and what was counted."""
    names = [
        "a/1.png",
        "a/n.txt",
        "a/b/2.jpg",
        "a/b/.x",
        "b/1.webp",
        "b/c/d/e/3.png",
        "b/c/x.db",
        ".git/config",
    ]
    for number in range(1, 2 ** len(names)):
        root = tmp_path / str(number)
        root.mkdir()
        touch(root, *(name for bit, name in enumerate(names) if number >> bit & 1))
        tree = walk(root)
        told = {item.origin.rstrip("/") for item in tree.all_left_out()}
        told |= {path.relative_to(root).as_posix() for path in tree.all_images()}
        files = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
        assert {".git" if name.startswith(".git") else name for name in files} == told


def test_unreadable_folder_is_an_error_and_no_loss(tmp_path: Path) -> None:
    """As another user, for root may read everything."""
    touch(tmp_path, "cat/1.png", "dog/2.png", "cat/deep/3.png")
    program = f"""
import os
from pathlib import Path
from linnet.data.layout import understand
from linnet.errors import DataError
if os.getuid() == 0:
    os.setgid(65534), os.setuid(65534)
try:
    understand(Path({str(tmp_path)!r}))
except DataError as error:
    print(error)
"""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.getuid() and str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    (tmp_path / "cat" / "deep").chmod(0)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    (tmp_path / "cat" / "deep").chmod(0o755)
    assert "cat/deep: the folder cannot be read: Permission denied; make it readable" in done.stdout, done


def test_ending_decides_or_the_first_bytes(tmp_path: Path) -> None:
    touch(tmp_path, "a/claims.JPEG", "a/photo.heic", "a/note.txt", "b/1.png")
    (tmp_path / "a" / "no_ending").write_bytes(b"\x89PNG\r\n\x1a\n....")
    assert set(found(tmp_path)) == {"a/claims.JPEG", "a/photo.heic", "a/no_ending", "b/1.png"}


@pytest.mark.parametrize("around", ["images", "data/images", "a b/c"])
def test_folder_around_is_seen_through(tmp_path: Path, around: str) -> None:
    touch(tmp_path, f"{around}/cat/1.png", f"{around}/dog/2.png", "README.md", "LICENSE")
    read = understand(tmp_path)
    assert {image.label for image in read.images} == {"cat", "dog"}
    assert read.notes == [f"read from the folder {around}/"]


def test_flat_test_folder_is_named_and_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "train/cat/1.png", "train/dog/2.png", "test/3.png", "test/4.png")
    read = understand(tmp_path)
    assert {image.split for image in read.images} == {"train"}
    assert [item.origin for item in read.left_out] == ["test/3.png", "test/4.png"]
    assert any("test/ has no classes" in note for note in read.notes)


def test_splits_within_the_classes_are_kept(tmp_path: Path) -> None:
    touch(tmp_path, "cat/train/1.png", "cat/test/2.png", "dog/Training/3.png", "dog/Test/4.png")
    assert set(found(tmp_path).values()) == {(s, c) for s in ("train", "test") for c in ("cat", "dog")}
    touch(tmp_path, "dog/5.png")
    with pytest.raises(DataError, match="look like splits within a class, but images stand beside"):
        understand(tmp_path)


def test_two_unicode_forms_of_a_name_are_one_class(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    touch(tmp_path, f"train/{composed}/1.png", f"test/{apart}/2.png", "train/thé/3.png", "test/thé/4.png")
    assert read_image_folder(tmp_path).classes == ("café", "thé")
    assert read_image_folder(tmp_path, (apart, "thé")).classes == (apart, "thé")


def test_two_cases_of_a_name_are_warned_of(tmp_path: Path) -> None:
    read = understand(touch(tmp_path, "Cat/1.png", "cat/2.png", "dog/3.png"))
    assert read.notes == ["Cat and cat differ by case only; are they one class?"]
    assert read.labels == {"Cat", "cat", "dog"}


def test_folder_that_may_be_class_or_split_is_refused_until_somebody_says(tmp_path: Path) -> None:
    touch(tmp_path, "train/1.png", "bus/2.png", "car/3.png")
    with pytest.raises(DataError, match="'train' may be classes or splits, as 'bus', 'car' stand beside"):
        understand(tmp_path)
    assert {label for _, label in found(tmp_path, layout="classes").values()} == {"bus", "car", "train"}
    assert found(tmp_path, ("bus", "car", "train")) == found(tmp_path, layout="classes")


def test_flat_split_folders_are_refused_until_somebody_says(tmp_path: Path) -> None:
    touch(tmp_path, "train/1.png", "test/2.png")
    with pytest.raises(
        DataError, match="'test', 'train' look like splits, but hold images and no class folders"
    ):
        understand(tmp_path)
    assert set(found(tmp_path, ("test", "train")).values()) == {("", "test"), ("", "train")}


def test_folder_beside_splits_is_counted_when_the_config_knows_the_classes(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.png", "train/b/2.png", "test/a/3.png", "test/b/4.png", "more/5.png")
    with pytest.raises(DataError, match="may be classes or splits, as 'more'"):
        understand(tmp_path)
    assert found(tmp_path, ("a", "b")) == found(tmp_path, layout="splits")
    assert [item.origin for item in understand(tmp_path, ("a", "b")).left_out] == ["more/5.png"]


def test_table_beside_the_images_is_found_and_ingest_says_what_to_set(tmp_path: Path) -> None:
    touch(tmp_path, "1.png", "2.png")
    (tmp_path / "labels.csv").write_text("filename,label\n1.png,a\n2.png,b\n")
    assert understand(tmp_path).table == tmp_path / "labels.csv"
    with pytest.raises(DataError, match=r'labels\.csv; set data\.kind = "manifest"'):
        read_image_folder(tmp_path)


def test_tree_tells_splits_classes_and_counts(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "train/cat/1.png",
        "train/cat/2.png",
        "train/dog/3.png",
        "valid/cat/4.png",
        "train/dog/x.txt",
    )
    assert understand(tmp_path).tree() == (
        f"{tmp_path}: 4 images in 2 classes\n"
        "  train             3  cat 2, dog 1\n"
        "  validation        1  cat 1, dog 0\n"
        "  left out          1  not an image: train/dog/x.txt\n"
        "  note: the folder valid/ is the validation split"
    )


@pytest.mark.parametrize("missing", [3, 250])
def test_table_whose_first_images_are_missing_is_still_read(tmp_path: Path, missing: int) -> None:
    names = [f"{number:03}.png" for number in range(600)]
    touch(tmp_path, *names[missing:])
    (tmp_path / "labels.csv").write_text("file,label\n" + "".join(f"{name},a\n" for name in names))
    assert understand(tmp_path).table == tmp_path / "labels.csv"


@pytest.mark.parametrize("length", [256, 999])
@pytest.mark.parametrize("head", ["file,label", "FIRST.,label"])
def test_long_cell_of_a_table_beside_class_folders_is_no_image(
    tmp_path: Path, head: str, length: int
) -> None:
    """A file system takes names of up to 255 bytes: to ask for a longer one is an error of the system."""
    touch(tmp_path, "a/1.png", "b/2.png")
    long = "x" * length
    (tmp_path / "notes.csv").write_text(f"{head.replace('FIRST', long)}\n{long},good\n")
    assert understand(tmp_path).labels == {"a", "b"}


BROKEN = "file,label\n1.png,a\n2.png,b,c\n"


def test_broken_table_beside_class_folders_is_told(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png", "b/2.png")
    (tmp_path / "labels.csv").write_text(BROKEN)
    layouts: tuple[Layout, ...] = ("auto", "classes")
    for layout in layouts:
        told = understand(tmp_path, layout=layout).notes
        where = tmp_path / "labels.csv"
        assert f"{where}: 1 line(s) have not as many cells as the header; it was not read" in told, told


@pytest.mark.parametrize("layout", ["auto", "tables"])
def test_broken_table_that_should_name_the_classes_is_the_error(tmp_path: Path, layout: Layout) -> None:
    touch(tmp_path, "1.png", "2.png")
    (tmp_path / "labels.csv").write_text(BROKEN)
    with pytest.raises(DataError, match=r"labels\.csv: 1 line\(s\) have not as many cells.*\n  - line 3"):
        understand(tmp_path, layout=layout)


def test_split_whose_table_is_broken_is_told(tmp_path: Path) -> None:
    touch(tmp_path, "1.png", "2.png", "3.png")
    (tmp_path / "train.csv").write_text("file,label\n1.png,a\n3.png,b\n")
    (tmp_path / "test.csv").write_text(BROKEN)
    assert any("test.csv: 1 line(s) have not" in note for note in understand(tmp_path).notes)
