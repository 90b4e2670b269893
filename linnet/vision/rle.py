"""Masks as COCO writes them: runs down the columns, as numbers or as the compressed text of pycocotools.

A mask is a boolean array [H, W]. Its runs alternate, zeros first, and add up to H times W; there is one
text a mask, so equal masks are equal texts. Polygons are filled by COCO's own rule (cocoapi,
common/maskApi.c), pixel for pixel. numpy only: the server answers masks, too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]
_FIRST = 48
"""The character of 0; 64 of them carry five bits and whether more follow."""
_FINER = 5
"""COCO fills a polygon on a grid that is five times as fine."""


def runs_of(mask: Mask) -> Counts:
    """Lengths of the runs down the columns, of zeros and ones by turns; the first may be 0."""
    flat = np.asarray(mask, np.bool_).ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    bounds = np.concatenate([[0], changes, [len(flat)]])
    runs = np.diff(bounds)
    return np.concatenate([[0], runs]) if len(flat) and flat[0] else runs.astype(np.int64)


def mask_of(runs: Sequence[int] | Counts, height: int, width: int) -> Mask:
    """The mask [height, width] that such runs describe.

    Raises:
        ValueError: they do not add up to its pixels.
    """
    lengths = np.asarray(runs, np.int64)
    if lengths.ndim != 1 or (lengths < 0).any() or int(lengths.sum()) != height * width:
        raise ValueError(f"runs of {int(lengths.sum()):,} pixels for a mask of {height} x {width}")
    ones = np.arange(len(lengths)) % 2 == 1
    return np.repeat(ones, lengths).reshape((height, width), order="F")


def text_of(runs: Counts) -> str:
    """Runs as the text that pycocotools calls `counts`: differences to the run before last, in base 32."""
    values = runs.astype(np.int64)
    values[3:] -= runs[1:-2]
    left, characters, used = values, [], []
    more = np.ones(len(values), np.bool_)
    while more.any():
        low = left & 0x1F
        left = left >> 5
        used.append(more)
        more = more & np.where(low & 0x10, left != -1, left != 0)
        characters.append(low + np.where(more, 0x20, 0) + _FIRST)
    grid, kept = np.stack(characters, axis=1), np.stack(used, axis=1)
    return grid[kept].astype(np.uint8).tobytes().decode("ascii")


def runs_in(text: str) -> Counts:
    """The runs that such a text describes.

    Raises:
        ValueError: it is none.
    """
    try:
        codes = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - _FIRST
    except UnicodeEncodeError as error:
        raise ValueError("a run-length text has characters that are no ASCII") from error
    if not len(codes):
        return np.zeros(0, np.int64)
    if (codes < 0).any() or (codes > 0x3F).any() or codes[-1] & 0x20:
        raise ValueError(f"no run-length text: {text[:40]!r}")
    last = np.flatnonzero((codes & 0x20) == 0)
    first = np.concatenate([[0], last[:-1] + 1])
    place = np.arange(len(codes)) - np.repeat(first, last - first + 1)
    if place.max() > 11:
        raise ValueError(f"no run-length text: {text[:40]!r}")
    values = np.add.reduceat((codes & 0x1F) << (5 * place), first)
    negative = (codes[last] & 0x10) != 0
    values[negative] |= np.int64(-1) << (5 * (place[last][negative] + 1))
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def encode(mask: Mask) -> str:
    """The compressed text of a mask."""
    return text_of(runs_of(mask))


def decode(text: str, height: int, width: int) -> Mask:
    """The mask of a compressed text.

    Raises:
        ValueError: it is none of a mask of this size.
    """
    return mask_of(runs_in(text), height, width)


def box_of(mask: Mask) -> tuple[int, int, int, int]:
    """x, y, width and height of the box around a mask's pixels; all 0 of an empty one."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return 0, 0, 0, 0
    x, y = int(columns[0]), int(rows[0])
    return x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1


def fill(polygon: Sequence[float], height: int, width: int) -> Mask:
    """The pixels in a polygon x0, y0, x1, y1, ..., as COCO fills it.

    Raises:
        ValueError: it has no three corners, or one that is no finite number.
    """
    corners = np.asarray(polygon, np.float64)
    if corners.ndim != 1 or len(corners) < 6 or len(corners) % 2 or not np.isfinite(corners).all():
        raise ValueError(f"a polygon of {len(polygon)} numbers: three corners or more are x, y each")
    scaled = (_FINER * corners + 0.5).astype(np.int64).reshape(-1, 2)  # towards 0, as C does
    ring = np.concatenate([scaled, scaled[:1]])
    lines = [_line(*start, *end) for start, end in zip(ring[:-1].tolist(), ring[1:].tolist(), strict=True)]
    u, v = (np.concatenate(part) for part in zip(*lines, strict=True))
    return mask_of(_crossings(u, v, height, width), height, width)


def _line(x0: int, y0: int, x1: int, y1: int) -> tuple[Counts, Counts]:
    """The points of a line on the fine grid, from its start to its end."""
    dx, dy = abs(x1 - x0), abs(y0 - y1)
    flip = (dx >= dy and x0 > x1) or (dx < dy and y0 > y1)
    if flip:
        x0, x1, y0, y1 = x1, x0, y1, y0
    steps = np.arange(max(dx, dy) + 1, dtype=np.int64)
    along = steps[::-1] if flip else steps
    if dx >= dy:
        slope = (y1 - y0) / dx if dx else 0.0
        return along + x0, (y0 + slope * along + 0.5).astype(np.int64)
    slope = (x1 - x0) / dy
    return (x0 + slope * along + 0.5).astype(np.int64), along + y0


def _crossings(u: Counts, v: Counts, height: int, width: int) -> Counts:
    """The runs between the places, down the columns, where an outline crosses from one pixel to another."""
    moved = np.flatnonzero(u[1:] != u[:-1]) + 1
    column = np.where(u[moved] < u[moved - 1], u[moved], u[moved] - 1)
    x = (column + 0.5) / _FINER - 0.5
    inside = (np.floor(x) == x) & (x >= 0) & (x <= width - 1)
    y = (np.minimum(v[moved], v[moved - 1]) + 0.5) / _FINER - 0.5
    y = np.ceil(np.clip(y, 0, height))
    places = x[inside].astype(np.int64) * height + y[inside].astype(np.int64)
    ordered = np.sort(np.concatenate([places, [height * width]]))
    runs = np.diff(ordered, prepend=0)
    return _without_empty(runs)


def _without_empty(runs: Counts) -> Counts:
    """The same mask without runs of no pixels within: the runs around one belong together."""
    kept = [int(runs[0])]
    number = 1
    while number < len(runs):
        if runs[number] > 0:
            kept.append(int(runs[number]))
            number += 1
            continue
        number += 1
        if number < len(runs):
            kept[-1] += int(runs[number])
            number += 1
    return np.asarray(kept, np.int64)
