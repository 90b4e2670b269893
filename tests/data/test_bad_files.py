"""Files that are no readable images: `init` and `ingest` find the same ones, and every page counts them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from linnet.config import Config, DataConfig, ServingConfig, ValidationConfig, load_config, parse_config
from linnet.console.views import data as data_view
from linnet.data.ingest import ingest, source_identity
from linnet.data.init_config import config_for
from linnet.data.validate import validate
from linnet.errors import ConfigError, DataError
from linnet.records import DatasetManifest, RunRecord, RunRequest, now
from linnet.report.evidence import RunEvidence
from linnet.report.render import html, markdown
from linnet.vision.decode import encode_png


def fill(folder: Path, kind: int, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = np.random.default_rng(1000 * kind + number).integers(0, 256, (24, 24, 3), np.uint8)
        (folder / f"{number:03}.png").write_bytes(encode_png(pixels))


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Two classes of 60, and one bad file of each kind: 4 of 124, 3.2 %."""
    root = tmp_path / "pets"
    fill(root / "cat", 0, 60)
    fill(root / "dog", 1, 60)
    (root / "cat" / "empty.png").write_bytes(b"")
    (root / "cat" / "page.jpg").write_text("<html>not found</html>")
    (root / "dog" / "half.png").write_bytes((root / "dog" / "000.png").read_bytes()[:800])
    (root / "dog" / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(99))
    return root


BAD = {"cat/empty.png", "cat/page.jpg", "dog/half.png", "dog/phone.heic"}


def config_of(folder: Path, **more: object) -> DataConfig:
    return DataConfig(location=str(folder), height=24, width=24, color="rgb", **more)  # type: ignore[arg-type]


def names(lines: tuple[str, ...]) -> set[str]:
    return {line.partition(": ")[0] for line in lines}


def test_bad_files_are_left_out_named_and_counted(tmp_path: Path, pets: Path) -> None:
    manifest = ingest(config_of(pets, max_bad_fraction=0.04), "pets", tmp_path / "out")
    assert (manifest.bad, manifest.raw_rows, manifest.rows) == (4, 124, 120)
    assert names(manifest.bad_files) == BAD
    reasons = "\n".join(manifest.bad_files)
    assert (
        "is empty" in reasons
        and "web page" in reasons
        and "not a readable PNG" in reasons
        and "HEIC" in reasons
    )


def test_more_bad_files_than_allowed_stop_and_are_named(tmp_path: Path, pets: Path) -> None:
    with pytest.raises(
        DataError, match=r"4 of 124 images cannot be used \(3\.2%.*max_bad_fraction is 2\.0%"
    ) as caught:
        ingest(config_of(pets), "pets", tmp_path / "out")
    assert all(name in str(caught.value) for name in BAD)
    with pytest.raises(DataError, match="4 of 124"):
        ingest(config_of(pets, max_bad_fraction=0.5, bad_files="fail"), "pets", tmp_path / "out")


def test_class_whose_every_file_is_bad_stops_whatever_is_allowed(tmp_path: Path, pets: Path) -> None:
    (pets / "bird").mkdir()
    (pets / "bird" / "1.png").write_bytes(b"")
    with pytest.raises(DataError, match="no image of class 'bird' can be used"):
        ingest(config_of(pets, max_bad_fraction=0.5), "pets", tmp_path / "out")


def test_init_and_ingest_find_the_same_bad_files(tmp_path: Path, pets: Path) -> None:
    made = config_for("pets", pets)
    assert all(name in made.told for name in BAD)
    config = parse_config(tomllib.loads(made.text))
    assert config.data.max_bad_fraction == pytest.approx(0.04)
    assert "# 120 images in 2 classes" in made.text
    manifest = ingest(config.data, "pets", tmp_path / "out")
    assert names(manifest.bad_files) == BAD


def test_init_refuses_a_folder_of_which_much_is_bad(pets: Path) -> None:
    for number in range(20):
        (pets / "cat" / f"bad{number}.png").write_bytes(b"")
    with pytest.raises(DataError, match="24 of 144 images cannot be used"):
        config_for("pets", pets)


def test_identity_of_a_dataset_with_bad_files_is_the_one_that_ingest_gives(
    tmp_path: Path, pets: Path
) -> None:
    config = config_of(pets, max_bad_fraction=0.04)
    before = source_identity(config)
    assert ingest(config, "pets", tmp_path / "out").digest == before
    (pets / "dog" / "half.png").write_bytes(b"another content")
    assert source_identity(config) != before


def test_file_larger_than_an_image_may_be_is_a_bad_file(tmp_path: Path, pets: Path) -> None:
    noise = np.random.default_rng(9).integers(0, 256, (60, 60, 3), np.uint8)
    (pets / "dog" / "large.png").write_bytes(encode_png(noise))
    manifest = ingest(config_of(pets, max_bad_fraction=0.05, max_image_mb=0.005), "pets", tmp_path / "out")
    large = next(line for line in manifest.bad_files if line.startswith("dog/large.png"))
    assert "at most 0.005 MB are read (data.max_image_mb)" in large


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Great Expectations' own, at import
def test_bad_files_stand_in_validation_report_console_and_run_report(tmp_path: Path, pets: Path) -> None:
    (pets / "cat" / "<b>.png").write_bytes(b"")
    config = config_of(pets, max_bad_fraction=0.05)
    manifest = ingest(config, "pets", tmp_path / "samples")
    report = validate(tmp_path / "samples", ValidationConfig(min_per_class=1), config, tmp_path / "report")
    assert "bad_fraction" in {result.name for result in report.results}
    request = RunRequest(cause="person", actor="me")
    record = RunRecord(
        run_id="r1",
        pipeline="training",
        state="succeeded",
        started_at=now(),
        config={"name": "pets"},
        commit="",
        request=request,
    )
    evidence = RunEvidence(tmp_path, record, dataset=manifest)
    pages = {
        "validation": (tmp_path / "report" / "data_docs" / "index.html").read_text(),
        "console": str(data_view.figures(manifest)) + str(data_view.dropped(manifest)),
        "report": html(evidence),
    }
    for page, text in pages.items():
        assert all(name in text for name in BAD), page
        assert "is empty" in text, page
        assert "<b>.png" not in text and "&lt;b&gt;.png" in text, page
    assert "| bad file: cannot be used as an image | 5 |" in markdown(evidence)
    assert "Files that cannot be used as images: 5 of 125 images" in pages["validation"]


def test_manifest_of_an_older_version_is_read(tmp_path: Path, pets: Path) -> None:
    manifest = ingest(config_of(pets, max_bad_fraction=0.04), "pets", tmp_path / "out")
    text = manifest.model_dump_json(exclude={"bad", "bad_files"})
    (tmp_path / "old.json").write_text(text)
    assert DatasetManifest.load(tmp_path / "old.json").bad == 0


def written(tmp_path: Path, layout: str) -> Path:
    """The layouts `camera`, `formats` and `broken` of real people's folders."""
    root = tmp_path / layout
    fill(root / "cat", 0, 30)
    fill(root / "dog", 1, 30)
    smooth = Image.fromarray(np.random.default_rng(2).integers(0, 256, (25, 37, 3), np.uint8))
    if layout == "camera":
        smooth.resize((6000, 4000)).save(root / "cat" / "camera.jpg", quality=85)
    elif layout == "formats":
        for number, suffix in enumerate(("tif", "bmp", "gif", "avif", "jp2", "webp", "mpo", "jfif")):
            turned = smooth.rotate(40 * number)
            options = {"format": "JPEG"} if suffix == "jfif" else {}
            turned.save(root / "cat" / f"picture.{suffix}", **options)  # type: ignore[arg-type]
    else:
        (root / "cat" / "empty.png").write_bytes(b"")
        (root / "cat" / "page.jpg").write_text("<html>not found</html>")
        (root / "dog" / "half.png").write_bytes((root / "dog" / "000.png").read_bytes()[:800])
    return root


@pytest.mark.parametrize(
    ("layout", "images", "bad"), [("camera", 61, 0), ("formats", 68, 0), ("broken", 60, 3)]
)
def test_layout_is_read_as_its_line_says(tmp_path: Path, layout: str, images: int, bad: int) -> None:
    folder = written(tmp_path, layout)
    made = config_for("pets", folder)
    (tmp_path / "made.toml").write_text(made.text)
    config = load_config(tmp_path / "made.toml")
    assert config.data.classes == ("cat", "dog")
    manifest = ingest(config.data, "pets", tmp_path / "samples")
    assert manifest.raw_rows - manifest.bad == images
    assert manifest.bad == bad
    assert (f"{bad:>7,}  cannot be used as images" in made.told) == bool(bad)


def test_image_of_training_is_an_image_of_the_server_by_config(tmp_path: Path) -> None:
    data = {"kind": "folder", "height": 8, "width": 8, "color": "rgb"}
    raised = parse_config({"name": "p", "data": data | {"max_image_mb": 300.0}})
    assert raised.serving.max_body_mb == 300.0
    with pytest.raises(
        ConfigError, match=r"serving.max_body_mb: 20 MB are less than data.max_image_mb \(100\)"
    ):
        parse_config({"name": "p", "data": data, "serving": {"max_body_mb": 20.0}})
    (tmp_path / "old.toml").write_text('name = "p"\n[serving]\nmax_pixels = 1000\n')
    with pytest.raises(ConfigError, match=r"serving.max_pixels: is no setting any more .set data.max_pixels"):
        load_config(tmp_path / "old.toml")
    recorded = ServingConfig().values() | {"max_pixels": 16_777_216}  # a run of the version before
    assert parse_config({"name": "p", "serving": recorded}).serving == ServingConfig()
    plain = Config(name="p")
    assert plain.serving.max_body_mb >= plain.data.max_image_mb
