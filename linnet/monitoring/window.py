"""Windows over the prediction log, by event time: which one is due, and what it holds."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from linnet.config import DEFAULT_TASK, MonitoringConfig
from linnet.errors import ConfigError, StorageError
from linnet.monitoring.log_reader import read_served
from linnet.records import Window, utc_time
from linnet.tasks.answer import Answer, Output, answer_of

if TYPE_CHECKING:
    import pyarrow as pa

Floats = npt.NDArray[np.float32]

_SCHEDULED = re.compile(r"\d{14}")
WINDOW_FILE, ROWS_FILE, LIBRARIES_FILE = "window.json", "window.parquet", "libraries.json"


def moment_of(text: str) -> datetime:
    """A moment as a person writes it (ISO 8601; UTC where no zone is named), or as KFP's [[ScheduledTime]].

    Raises:
        ConfigError: it is neither.
    """
    try:
        if _SCHEDULED.fullmatch(text):
            return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        return utc_time(text)
    except ValueError as error:
        raise ConfigError("end", f"{text!r} is not a moment", "write 2026-11-25T14:00:00Z") from error


def last_closed(moment: datetime, config: MonitoringConfig) -> tuple[datetime, datetime]:
    """Start and end of the newest window that is closed at `moment`: windows lie end to end since 1970.

    A window is closed `allowed_lateness_minutes` after its end, so that slow log writers are waited for.
    """
    length = timedelta(minutes=config.window_minutes)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    count = (moment - timedelta(minutes=config.allowed_lateness_minutes) - epoch) // length
    return epoch + (count - 1) * length, epoch + count * length


def write_window(
    log: Path,
    model: str,
    version: str,
    start: datetime,
    end: datetime,
    config: MonitoringConfig,
    out: Path,
    all_images: bool = False,
) -> Window:
    """Copies what `version` served in [start, end) from the log to `out`, whatever comes to the log later.

    Writes window.json, window.parquet (`Rows`), and libraries.json: rows by library and version.
    `all_images`: every kept image, and not only what the test of the embeddings needs.

    Raises:
        StorageError: there is no log, or `out` cannot be written.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    closed = end + timedelta(minutes=config.allowed_lateness_minutes)
    seed = int(start.timestamp())
    most = None if all_images else config.embedding_rows
    served = read_served(log, model, version, start, end, closed, most, seed)
    rows = served.rows
    if rows.num_rows > config.max_rows:
        chosen = np.random.default_rng(seed).choice(rows.num_rows, config.max_rows, replace=False)
        rows = rows.take(pa.array(np.sort(chosen)))
    latency = rows["latency_ms"].to_numpy() if rows.num_rows else np.array([np.nan])
    p50, p95 = (float(value) for value in np.percentile(latency, [50, 95]))
    window = Window(
        model=model,
        version=version,
        start=start,
        end=end,
        rows=rows.num_rows,
        served=served.rows.num_rows,
        failed=served.failed,
        late=int(pc.sum(served.rows["late"]).as_py() or 0),
        images=rows.num_rows - rows["image"].null_count,
        latency_p50_ms=p50,
        latency_p95_ms=p95,
        enough=rows.num_rows >= config.min_rows,
    )
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    pq.write_table(rows, out / ROWS_FILE, compression="zstd")
    (out / LIBRARIES_FILE).write_text(
        json.dumps({"rows": served.libraries, "damaged": served.damaged}), "utf-8"
    )
    window.save(out / WINDOW_FILE)
    return window


def damaged_files(folder: Path) -> list[str]:
    """The log's files that the window in `folder` lacks because they cannot be read, and why."""
    try:
        found: list[str] = json.loads((folder / LIBRARIES_FILE).read_text("utf-8"))["damaged"]
    except (FileNotFoundError, KeyError):  # of an older Linnet
        return []
    except (OSError, ValueError) as error:
        raise StorageError(f"{folder / LIBRARIES_FILE}: cannot be read ({error})") from error
    return found


@dataclass(frozen=True, slots=True)
class Rows:
    """The N rows of a window, in order of time."""

    request_id: list[str]
    index: list[int]
    at: npt.NDArray[np.datetime64]
    features: Floats
    """float32 [N, F]"""
    output: Output
    """What the version answered: N rows."""
    latency_ms: Floats
    sample_id: list[str]
    image: list[bytes | None]
    answer: Answer = field(default_factory=lambda: answer_of(DEFAULT_TASK, ()))
    """Reads the output."""
    segments: list[dict[str, str]] = field(default_factory=list)
    """Which groups of users each row comes from; empty: none are told apart."""

    @property
    def named(self) -> npt.NDArray[np.bool_]:
        """Which classes the version named: [N, K]."""
        return self.answer.named(self.output)

    @property
    def likeliest(self) -> npt.NDArray[np.int64]:
        """Index of the likeliest class: [N]."""
        likely = self.answer.by_class(self.output)
        return likely.argmax(axis=1) if len(likely) else np.zeros(0, np.int64)

    @property
    def confidence(self) -> Floats:
        """How sure the version was: [N]."""
        return self.answer.confidence(self.output)

    @property
    def kept(self) -> npt.NDArray[np.int64]:
        """Rows whose image was kept."""
        return np.flatnonzero([image is not None for image in self.image])

    @property
    def cohorts(self) -> dict[tuple[str, str], npt.NDArray[np.bool_]]:
        """Which rows each value of each segment has: [N]."""
        values = {pair for told in self.segments for pair in told.items()}
        return {
            (name, value): np.array([told.get(name) == value for told in self.segments])
            for name, value in sorted(values)
        }

    @classmethod
    def load(cls, folder: Path, features: int, classes: int, answer: Answer | None = None) -> Rows:
        """The rows of the window in `folder`, of a model with so many features and classes.

        `answer`: reads its output; None: as a classifier's.

        Raises:
            StorageError: they are missing, damaged, or of another model.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        path, reads = folder / ROWS_FILE, answer or answer_of(DEFAULT_TASK, ("",) * classes)
        try:
            table = pq.read_table(path)
            return cls(
                request_id=table["request_id"].to_pylist(),
                index=[index or 0 for index in table["index"].to_pylist()],
                at=table["at"].to_numpy(),
                features=_matrix(table["features"], features),
                output=reads.unpacked(*_lists(table["probabilities"])),
                latency_ms=table["latency_ms"].to_numpy(),
                sample_id=table["sample_id"].to_pylist(),
                image=table["image"].to_pylist(),
                answer=reads,
                segments=_segments(table),
            )
        except (OSError, KeyError, ValueError, pa.ArrowException) as error:
            raise StorageError(f"{path}: the window's rows cannot be read ({error})") from error


def _segments(table: pa.Table) -> list[dict[str, str]]:
    if "segments" not in table.column_names:  # a window of before
        return []
    found = [dict(told or ()) for told in table["segments"].to_pylist()]
    return found if any(found) else []


def _matrix(column: pa.ChunkedArray, width: int) -> Floats:
    return np.ascontiguousarray(_lists(column)[0].reshape(len(column), width))


def _lists(column: pa.ChunkedArray) -> tuple[Floats, npt.NDArray[np.int64]]:
    """All values of a column of lists, and where each list ends among them: [N]."""
    import pyarrow.compute as pc

    flat: npt.NDArray[Any] = pc.list_flatten(column).to_numpy(zero_copy_only=False).astype(np.float32)
    lengths: npt.NDArray[Any] = pc.list_value_length(column).to_numpy(zero_copy_only=False)
    return flat, np.cumsum(lengths, dtype=np.int64)
