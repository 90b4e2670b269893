"""The config that `linnet init NAME --data PATH` writes: settings chosen by looking at all the images."""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from linnet.config import DEFAULT_TASK, SMALL_SIDE, DataConfig, EvaluationConfig, Layout, parse_config
from linnet.data.archives import opened
from linnet.data.bad_files import BadFile, check_bad_files
from linnet.data.image_folder import dataset_of
from linnet.data.image_manifest import read_manifest
from linnet.data.judging import divide, gates_section
from linnet.data.layout import understand
from linnet.data.presets import PHOTO_SIDE, Preset, are_photos, choose_fit, quoted, train_section
from linnet.data.remote import bring, is_remote
from linnet.data.rows import MOST_NAMED, RawDataset
from linnet.data.scan import Seen, scan
from linnet.data.selection import strata
from linnet.data.table_look import task_of_table
from linnet.errors import DataError
from linnet.pages.names import first_few
from linnet.progress import Progress
from linnet.tasks.target import target_of
from linnet.vision.decode import color_of

_SMALLEST_SIDE = 8
_MOST_BAD = 0.1
"""Share of bad files up to which a config is written that leaves them out."""


_GATES = """\
[gates]
# A floor to start from; raise it to what you know the data allows.
{}
"""
_PHOTO_LIMITS = """\
max_latency_p95_ms = 250  # a pretrained backbone looks at 224 x 224 pixels, on CPU cores

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
    """What all images show."""

    height: int
    width: int
    color: str
    sizes: int
    """How many different sizes there are."""
    colored: int
    """Images with color."""
    long: int
    """Images that are more than twice as long one way as the other."""


def config_for(
    name: str,
    data: Path | str,
    layout: Layout = "auto",
    preset: Preset = "fast",
    progress: Progress | None = None,
) -> NewConfig:
    """A config for a folder of images, or for a CSV or Parquet table of their paths and labels.

    Args:
        name: The use case's.
        data: A folder as `layout.understand` takes it, also packed, or a table as `read_manifest` does;
            or its address.
        layout: How to read a folder that can be read in two ways.
        preset: How much time training may take for how good a model.
        progress: Told (what, done, total): every image is decoded, as `ingest` will.

    Raises:
        DataError: the data cannot be understood, fewer than 2 classes, or too many files that are no images.
        ConfigError: the name is not one.
    """
    parse_config({"name": name})
    address = str(data) if is_remote(str(data)) else ""
    here, kind = bring(address, progress) if address else Path(data).resolve(), "manifest"
    place, reading = address or str(here), ""
    named = any((here / table).is_file() for table in ("manifest.csv", "manifest.parquet"))
    data = here if named else opened(here, progress)
    if data.is_dir() and not named:
        found = understand(data, layout=layout)
        kind, told = "manifest" if found.table else "folder", found.tree()
        reading = found.reading
        told_task = (found.task, "what the export tells of" if found.task != DEFAULT_TASK else "")
        task, why = task_of_table(found.table) if found.table else told_task
        raw = read_manifest(found.table, task=task) if found.table else dataset_of(found)
        if found.table and data != here:
            raise DataError(
                place, "is packed, and its labels stand in a table", "unpack it, and name the folder"
            )
        if found.table:
            below = found.table.relative_to(data).as_posix()
            place = f"{address.rstrip('/')}/{below}" if address else str(found.table)
    else:
        task, why = task_of_table(data)
        raw, told = read_manifest(data, task=task), ""
    looked = scan(raw, DataConfig(), progress)
    allowed = _allowed(raw, looked.bad)
    raw, told = looked.good, told + _bad_told(looked.bad)
    counts = Counter(name for row in raw.rows for name in target_of(task).classes(row.label))
    if kind == "manifest":
        each = first_few([f"{label} {number:,}" for label, number in counts.most_common()], 20)
        table = f"{place}: a table of {len(raw.rows):,} images in {len(raw.classes)} classes: {each}"
        told = f"{told}\n{table}".lstrip()
    lines = f'layout = "{reading}"  # how the folder is read\n' if kind == "folder" else ""
    lines += f'task = "{task}"  # {why}\n' if why else ""
    lines += _bad_line(looked.bad, allowed)
    return NewConfig(_text(name, kind, place, raw, _summary(looked.seen), counts, preset, lines, task), told)


def _spread(raw: RawDataset, task: str) -> RawDataset:
    """The dataset with one class an image, by which the splits are made: the rarest that it has."""
    if not target_of(task).several:
        return raw
    rows = [replace(row, label=name) for row, name in zip(raw.rows, strata(raw, task), strict=True) if name]
    return replace(raw, rows=rows, classes=tuple(sorted({row.label for row in rows})))


def _allowed(raw: RawDataset, bad: Sequence[BadFile]) -> DataConfig:
    """Settings under which the dataset can be used without its bad files: at most a tenth of it.

    Raises:
        DataError: more are bad, or all of a class.
    """
    usual = DataConfig().max_bad_fraction
    needed = math.ceil(100 * len(bad) / len(raw.rows)) / 100
    config = DataConfig(max_bad_fraction=min(max(usual, needed), _MOST_BAD))
    check_bad_files(raw, bad, config)
    return config


def _bad_line(bad: Sequence[BadFile], allowed: DataConfig) -> str:
    """What the config says of bad files, where the default would refuse them."""
    if allowed.max_bad_fraction == DataConfig().max_bad_fraction:
        return ""
    return f"max_bad_fraction = {allowed.max_bad_fraction}  # {len(bad):,} files cannot be used as images\n"


def _bad_told(bad: Sequence[BadFile]) -> str:
    named = "".join(f"\n    {file.reason}" for file in bad[:MOST_NAMED])
    more = f"\n    and {len(bad) - MOST_NAMED:,} more" if len(bad) > MOST_NAMED else ""
    return f"\n  left out    {len(bad):>7,}  cannot be used as images:{named}{more}" if bad else ""


def _summary(seen: Sequence[Seen]) -> ImageSummary:
    """Sizes and colors of all images."""
    colored = sum(look.channels == 3 for look in seen)
    height = round(statistics.median(look.height for look in seen))
    width = round(statistics.median(look.width for look in seen))
    return ImageSummary(
        height=_side(height, are_photos(height, width)),
        width=_side(width, are_photos(height, width)),
        color=color_of(3 if colored else 1),
        sizes=len({(look.height, look.width) for look in seen}),
        colored=colored,
        long=sum(max(look.height, look.width) > 2 * min(look.height, look.width) for look in seen),
    )


def _side(median: int, photo: bool) -> int:
    return PHOTO_SIDE if photo else min(max(median, _SMALLEST_SIDE), SMALL_SIDE)


def _text(
    name: str,
    kind: str,
    location: str,
    raw: RawDataset,
    look: ImageSummary,
    counts: Counter[str],
    preset: Preset,
    more: str,
    task: str,
) -> str:
    smallest, biggest = min(counts.values()), max(counts.values())
    spread, target = _spread(raw, task), target_of(task)
    division = divide(spread)
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
    if target.spatial:
        fit, why = "squash", "labels say where things are, in shares of the whole image"
    classes = ",\n".join(f"    {quoted(label)}" for label in raw.classes)
    training = f"[train]\n{target.training}"
    if not target.training:
        training = train_section(preset, len(raw.rows), look.height, look.width, biggest / smallest)
    gates = _GATES.format(target.gates) if target.gates else gates_section(raw, division, EvaluationConfig())
    return f"""\
# {len(raw.rows)} images in {len(raw.classes)} classes ({smallest} to {biggest} images each).
# Run it with `linnet run`; every setting and its unit stand in linnet/config/.
name = {json.dumps(name)}

[data]
kind = "{kind}"
location = {quoted(location)}
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
{more}
[validation]
min_per_class = {max(1, min(10, fewest * 2 // 3))}
max_imbalance = {max(20.0, float(round(most / fewest * 1.5)))}

{training}
{gates}\
{_PHOTO_LIMITS if are_photos(look.height, look.width) else ""}"""
