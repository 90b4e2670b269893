"""True labels that come later, by request id: Parquet files beside the prediction log.

A label is confirmed when it is on disk. Sending it again soon changes nothing; sending another label for
the same image is a correction, and the last one counts. A label that is sent again later is written again:
a client may have used the request id for another image since.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from linnet.config import DEFAULT_TASK
from linnet.errors import RequestRejected
from linnet.records.prediction_log import FEEDBACK, feedback_schema, new_file
from linnet.serving.messages import is_request_id
from linnet.storage.files import replacing
from linnet.tasks.target import Target, target_of

logger = logging.getLogger(__name__)
_RETRIES = timedelta(minutes=10)
"""For how long the same label of the same image is taken for a client's retry."""
FILE_ROWS = 10_000
"""Labels a file; the file that is being filled is written anew with each batch."""
BATCH_SECONDS = 0.05
MAX_LABELS = 1_000
"""Labels a request may bring."""
_TOLD = 5
"""Wrong labels of a request of which it is said what is wrong; of more, which they are."""

Row = dict[str, Any]
_Image = tuple[str, str, int]
"""Model, request id and place in the request: clients name requests, and may name two models' alike."""
_Known = dict[_Image, tuple[str, datetime]]
"""The last label of an image, and when it came."""


class Feedback:
    """Takes labels and writes `feedback-<time>-<pid>-<number>.parquet` under `folder`.

    Columns: model, request_id, index (image in the request), label, at (UTC, when it came), source.
    """

    def __init__(self, folder: Path | None, remembered: int = 100_000, most_bytes: float = math.inf) -> None:
        """`folder` None: labels are refused, as nothing is logged that they could belong to.

        `remembered`: newest labels that are known to be written; an older one that is sent again is
        written again. `most_bytes`: of all label files; then labels are refused until there is room.
        """
        self._folder, self._remembered, self._most_bytes = folder, remembered, most_bytes
        self._known: _Known | None = None
        self._rows: list[Row] = []
        self._number = 0
        self._path: Path | None = None
        self._pool = ThreadPoolExecutor(1, "feedback")
        self._waiting: list[Row] = []
        self._batch: asyncio.Task[int] | None = None

    async def take(
        self, document: Any, model: str, classes: set[str], task: str = DEFAULT_TASK
    ) -> dict[str, int]:
        """Writes what a request says of a model's answers: {"request_id", "label", "index", "source"}, or a
        list of such in "labels".

        Returns {"written": labels that were new or corrected, "known": labels that were there already}.

        Raises:
            RequestRejected: 400, a field is wrong or a label is no class: the problem names the labels of a
                list that are refused, and the others are written; 503, nothing is logged here, the
                labels on disk take all the room that they may, or the disk refuses.
        """
        parsed, wrong = parse_feedback(document, classes, task)
        rows = [{"model": model, **row} for row in parsed]
        if self._folder is None:
            raise RequestRejected(503, "this server keeps no prediction log that labels could belong to")
        loop = asyncio.get_running_loop()
        if self._known is None:
            self._known = await loop.run_in_executor(self._pool, _read_known, self._folder, self._remembered)
        new = [row for row in rows if not _is_retry(row, self._known.get(_image(row)))]
        if new:
            self._waiting += new
            if self._batch is None or self._batch.done():
                self._batch = asyncio.ensure_future(self._write_soon())
            try:
                await asyncio.shield(self._batch)
            except OSError as error:
                raise RequestRejected(503, f"the labels cannot be written: {_why(error)}") from error
        if wrong:
            raise RequestRejected(400, f"{'; '.join(wrong)}; the other {len(rows):,} are taken")
        return {"written": len(new), "known": len(rows) - len(new)}

    def close(self) -> None:
        """Ends the thread when what was taken is on disk."""
        self._pool.shutdown(wait=True)

    async def _write_soon(self) -> int:
        """One file for all labels of a moment, so that a flood of requests is not a flood of files."""
        await asyncio.sleep(BATCH_SECONDS)
        self._batch = None
        rows, self._waiting = self._waiting, []
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._pool, self._write, rows)
        assert self._known is not None
        for row in rows:
            image = _image(row)
            self._known.pop(image, None)  # what was sent last stays longest
            self._known[image] = row["label"], row["at"]
        for image in list(islice(self._known, max(len(self._known) - self._remembered, 0))):
            del self._known[image]
        return len(rows)

    def _write(self, rows: list[Row]) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        assert self._folder is not None
        if sum(path.stat().st_size for path in self._folder.glob(f"{FEEDBACK}-*")) > self._most_bytes:
            raise RequestRejected(
                503,
                f"the labels on disk take more than {self._most_bytes / 1e6:g} MB (serving.feedback_mb): "
                f"move old {FEEDBACK}-*.parquet files out of the log folder, or allow more",
            )
        if self._path is None or len(self._rows) >= FILE_ROWS:
            self._number += 1
            self._path = new_file(self._folder, FEEDBACK, self._number)
            self._rows = []
        table = pa.Table.from_pylist([*self._rows, *rows], schema=feedback_schema())
        self._folder.mkdir(parents=True, exist_ok=True)
        with replacing(self._path) as scratch:
            parquet.write_table(table, scratch, compression="zstd")
        self._rows += rows


def parse_feedback(document: Any, classes: set[str], task: str = DEFAULT_TASK) -> tuple[list[Row], list[str]]:
    """The rows that a request's JSON means; and of a list what is wrong with the labels that make no row.

    Raises:
        RequestRejected: 400, it is no label, or none of its labels makes a row.
    """
    at, target = datetime.now(UTC), target_of(task)
    if not isinstance(document, dict) or "labels" not in document:
        return [_row(document, classes, target, at)], []
    many = document["labels"]
    if not isinstance(many, list) or not 0 < len(many) <= MAX_LABELS:
        raise RequestRejected(400, f"labels: must be a list of 1 to {MAX_LABELS} objects")
    rows: list[Row] = []
    wrong: list[str] = []
    for place, one in enumerate(many):
        try:
            rows.append(_row(one, classes, target, at))
        except RequestRejected as error:
            wrong.append(f"labels[{place}]: {error.problem}" if len(wrong) < _TOLD else f"labels[{place}]")
    if not rows:
        raise RequestRejected(400, "; ".join(wrong))
    return rows, wrong


def _row(one: Any, classes: set[str], target: Target, at: datetime) -> Row:
    if not isinstance(one, dict) or not set(one) <= {"request_id", "label", "index", "source"}:
        raise RequestRejected(400, "a label must be an object of request_id, label, index and source")
    request_id, label = one.get("request_id"), one.get("label")
    index, source = one.get("index", 0), one.get("source", "")
    if not isinstance(request_id, str) or not is_request_id(request_id):
        raise RequestRejected(400, "request_id: must be the id that the answer carried")
    label = _label(label, classes, target)
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < 1 << 31:
        raise RequestRejected(400, "index: must be the place of the image in the request, from 0")
    if not isinstance(source, str) or len(source) > 128 or not _is_unicode(source):
        raise RequestRejected(400, "source: must be a string of at most 128 Unicode characters")
    return {"request_id": request_id, "index": index, "label": label, "at": at, "source": source}


def _label(given: Any, classes: set[str], target: Target) -> str:
    """The text of a label: a class; or, where an image may have several, what the task's tables may hold."""
    try:
        listed = target.several and isinstance(given, list | dict)
        label = target.read(given) if listed or isinstance(given, str) else None
    except ValueError:
        label = None
    if isinstance(given, str) and not target.several:
        label = given  # to the letter
    if label is None or not classes.issuperset(target.classes(label)):
        wanted = "a label of" if target.spatial else "a list of some of" if target.several else "one of"
        raise RequestRejected(400, f"label: must be {wanted} {sorted(classes)}, not {given!r:.80}")
    return label


def _why(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else "the disk refuses"


def _is_unicode(text: str) -> bool:
    """Whether a text can be written: JSON may carry half of a surrogate pair, UTF-8 and Parquet may not."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _image(row: Row) -> _Image:
    return row.get("model") or "", row["request_id"], row["index"]


def _is_retry(row: Row, known: tuple[str, datetime] | None) -> bool:
    return known is not None and known[0] == row["label"] and row["at"] - known[1] < _RETRIES


def _read_known(folder: Path, most: int) -> _Known:
    """The newest `most` labels on disk, the oldest of them first; a damaged file is told and passed over."""
    from pyarrow import parquet

    known: _Known = {}
    for path in sorted(folder.glob(f"{FEEDBACK}-*.parquet"), reverse=True):
        try:
            rows = parquet.read_table(path).to_pylist()
        except (OSError, ValueError) as error:  # what pyarrow raises of a file that is none is a ValueError
            logger.warning("%s: cannot be read (%s); labels in it may be written again", path, error)
            continue
        for row in reversed(rows):
            known.setdefault(_image(row), (row["label"], row["at"]))
        if len(known) >= most:
            break
    return dict(reversed(list(known.items())[:most]))
