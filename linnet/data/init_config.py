"""The config that `linnet init NAME --data PATH` writes: settings chosen by looking at all the images."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from linnet.config import SMALL_SIDE, EvaluationConfig, parse_config
from linnet.data.image_folder import dataset_of
from linnet.data.image_manifest import read_manifest
from linnet.data.judging import divide, gates_section
from linnet.data.layout import Layout, understand
from linnet.data.presets import PHOTO_SIDE, Preset, are_photos, choose_fit, quoted, train_section
from linnet.data.rows import RawDataset, RawRow, invalid_rows
from linnet.data.scan import in_order
from linnet.errors import InvalidImage
from linnet.vision.decode import color_of, shape_of

_SMALLEST_SIDE = 8


_PHOTO_LIMITS = """\
max_latency_p95_ms = 250  # a pretrained backbone looks at 224 x 224 pixels, on CPU cores

[release]
first_latency_p95_ms = 500  # what the service level below promises

[service_levels]
latency_ms = 500
"""


@dataclass(frozen=True, slots=True)
class NewConfig:
    """A config, and how the data were understood, for a person to check."""

    text: str
    told: str


@dataclass(frozen=True, slots=True)
class ImageSummary:
    """What the headers of all images show."""

    height: int
    width: int
    color: str
    sizes: int
    """How many different sizes there are."""
    colored: int
    """Images with color."""
    long: int
    """Images that are more than twice as long one way as the other."""


def config_for(name: str, data: Path, layout: Layout = "auto", preset: Preset = "fast") -> NewConfig:
    """A config for a folder of images, or for a CSV or Parquet table of their paths and labels.

    Args:
        name: The use case's.
        data: A folder as `layout.understand` takes it, or a table as `read_manifest` does.
        layout: How to read a folder that can be read in two ways.
        preset: How much time training may take for how good a model.

    Raises:
        DataError: the data cannot be understood, fewer than 2 classes, or files that are no images.
        ConfigError: the name is not one.
    """
    parse_config({"name": name})
    data, kind = data.resolve(), "manifest"
    if data.is_dir() and not any((data / table).is_file() for table in ("manifest.csv", "manifest.parquet")):
        found = understand(data, layout=layout)
        kind, told = "manifest" if found.table else "folder", found.tree()
        raw, data = (read_manifest(found.table), found.table) if found.table else (dataset_of(found), data)
    else:
        raw, told = read_manifest(data), ""
    counts = Counter(row.label for row in raw.rows)
    if kind == "manifest":
        each = ", ".join(f"{label} {number:,}" for label, number in counts.most_common(20))
        table = f"{data}: a table of {len(raw.rows):,} images in {len(raw.classes)} classes: {each}"
        told = f"{told}\n{table}".lstrip()
    return NewConfig(_text(name, kind, data, raw, _summary(raw), counts, preset), told)


def _summary(raw: RawDataset) -> ImageSummary:
    """Sizes and colors of all images, from their headers."""

    def look(row: RawRow) -> tuple[int, int, int] | str:
        assert isinstance(row.source, Path)
        try:
            return shape_of(row.source, row.origin)
        except InvalidImage as error:
            return str(error)

    looks = list(in_order(look, raw.rows, None, ""))
    problems = [look for look in looks if isinstance(look, str)]
    if problems:
        raise invalid_rows(
            raw.where, f"{len(problems)} file(s) are no image", problems, "repair or remove them"
        )
    shapes = [look for look in looks if not isinstance(look, str)]
    colored = sum(channels == 3 for _, _, channels in shapes)
    height, width = (round(statistics.median(shape[axis] for shape in shapes)) for axis in (0, 1))
    return ImageSummary(
        height=_side(height, are_photos(height, width)),
        width=_side(width, are_photos(height, width)),
        color=color_of(3 if colored else 1),
        sizes=len({shape[:2] for shape in shapes}),
        colored=colored,
        long=sum(max(height, width) > 2 * min(height, width) for height, width, _ in shapes),
    )


def _side(median: int, photo: bool) -> int:
    return PHOTO_SIDE if photo else min(max(median, _SMALLEST_SIDE), SMALL_SIDE)


def _text(
    name: str,
    kind: str,
    location: Path,
    raw: RawDataset,
    look: ImageSummary,
    counts: Counter[str],
    preset: Preset,
) -> str:
    smallest, biggest = min(counts.values()), max(counts.values())
    division = divide(raw)
    fewest, most = min(division.trained.values()), max(division.trained.values())
    own_test = "test" in {row.split for row in raw.rows}
    test_note = "  # not used: the data have a test split" if own_test else ""
    resized = "pixels; as the images are"
    if look.sizes > 1:
        resized = f"pixels; the images have {look.sizes} sizes, and are all resized"
    elif are_photos(look.height, look.width):
        resized = "pixels, to which all images are resized: what the backbone was trained with"
    share = "all" if look.colored == len(raw.rows) else f"{look.colored:,} of {len(raw.rows):,}"
    hue = f"{share} images have color" if look.colored else "no image has color"
    fit, why = choose_fit(look.height, look.width, look.long / len(raw.rows))
    classes = ",\n".join(f"    {quoted(label)}" for label in raw.classes)
    imbalance = biggest / smallest
    return f"""\
# {len(raw.rows)} images in {len(raw.classes)} classes ({smallest} to {biggest} images each).
# Run it with `linnet run`; every setting and its unit stand in linnet/config/.
name = {json.dumps(name)}

[data]
kind = "{kind}"
location = {quoted(str(location))}
classes = [
{classes},
]
height = {look.height}  # {resized}
width = {look.width}
fit = "{fit}"  # {why}
color = "{look.color}"  # {hue}
validation_fraction = {division.validation}  # of the training images: to calibrate and to watch training
production_fraction = {division.production}  # of the training images: replayed as traffic in the canary
test_fraction = {division.test}{test_note}

[validation]
min_per_class = {max(1, min(10, fewest * 2 // 3))}
max_imbalance = {max(20.0, float(round(most / fewest * 1.5)))}

{train_section(preset, len(raw.rows), look.height, look.width, imbalance)}
{gates_section(raw, division, EvaluationConfig())}\
{_PHOTO_LIMITS if are_photos(look.height, look.width) else ""}"""
