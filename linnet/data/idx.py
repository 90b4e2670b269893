"""Reader of IDX files, the format of MNIST and Fashion-MNIST.

Big-endian: two zero bytes, the type (8: uint8), the number of dimensions, each dimension as uint32,
then the values (http://yann.lecun.com/exdb/mnist/). Images are [N, H, W], labels [N]; the official
split is in the file names, `train-*` and `t10k-*`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from linnet.data.rows import RawDataset, RawRow, class_names, invalid_rows
from linnet.errors import DataError

_SPLITS = {"train": "train", "t10k": "test"}


def read_idx(folder: Path, classes: tuple[str, ...]) -> RawDataset:
    """Reads the four files of a folder; `classes` names the labels 0, 1, ... in order.

    Raises:
        DataError: a file is missing, damaged or does not fit its partner, or a label has no name.
    """
    if not folder.is_dir():
        raise DataError(str(folder), "no such folder", "check data.location")
    rows: list[RawRow] = []
    unknown: list[str] = []
    pairs = {prefix: _read_pair(folder, prefix) for prefix in _SPLITS}
    top = max((int(labels.max(initial=0)) for _, labels in pairs.values()), default=0)
    names = classes or tuple(str(label).zfill(len(str(top))) for label in range(top + 1))
    for prefix, (images, labels) in pairs.items():
        for number, label in enumerate(labels.tolist()):
            origin = f"{prefix}-images-idx3-ubyte#{number}"
            if label >= len(names):
                unknown.append(f"{origin}: label {label}")
                continue
            pixels = images[number][:, :, None]
            rows.append(RawRow(origin, names[label], _SPLITS[prefix], pixels))
    if unknown:
        problem = f"{len(unknown)} row(s) have a label beyond the {len(names)} names in data.classes"
        raise invalid_rows(
            str(folder), problem, unknown, "name every class in data.classes, or fix the labels"
        )
    return RawDataset(str(folder), class_names(str(folder), {row.label for row in rows}, names), rows)


def _read_pair(folder: Path, prefix: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    image_path = folder / f"{prefix}-images-idx3-ubyte"
    label_path = folder / f"{prefix}-labels-idx1-ubyte"
    images, labels = _read_array(image_path, 3), _read_array(label_path, 1)
    if len(images) != len(labels):
        raise DataError(
            str(label_path),
            f"has {len(labels)} labels for {len(images)} images",
            "one of the two files is damaged or of another dataset: put back the originals",
        )
    return images, labels


def _read_array(path: Path, dimensions: int) -> npt.NDArray[np.uint8]:
    """Maps a file of unsigned bytes; its size must be what its header says."""
    remedy = "put back the original, uncompressed"
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            header = stream.read(4 + 4 * dimensions)
    except FileNotFoundError as error:
        raise DataError(str(path), "no such file", "an IDX dataset has four, uncompressed") from error
    except OSError as error:
        raise DataError(str(path), f"cannot be read: {error.strerror}") from error
    if len(header) < 4 + 4 * dimensions or header[:4] != bytes((0, 0, 8, dimensions)):
        raise DataError(str(path), f"is not an IDX file of unsigned bytes with {dimensions} axes", remedy)
    shape = tuple(int.from_bytes(header[i : i + 4], "big") for i in range(4, len(header), 4))
    expected = len(header) + int(np.prod(shape, dtype=object))
    if size != expected:
        raise DataError(str(path), f"is {size} bytes long, but its header asks for {expected}", remedy)
    if 0 in shape:
        raise DataError(str(path), f"is empty: its shape is {shape}", remedy)
    return np.asarray(np.memmap(path, np.uint8, "r", len(header), shape))  # plain views are faster
