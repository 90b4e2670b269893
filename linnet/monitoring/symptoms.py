"""Gathers what an incident looks like from outside: server, metrics, prediction log, windows, ledger.

Whatever cannot be seen becomes a note, never an error: a diagnosis is wanted most when things are broken.
"""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from linnet.config import MonitoringConfig
from linnet.errors import LinnetError
from linnet.monitoring.history import DRIFT_FILE
from linnet.monitoring.open_window import judge_open_window
from linnet.monitoring.server_symptoms import machine_symptoms, server_symptoms
from linnet.monitoring.usual import labels_symptoms, of_cohorts, usual_requests
from linnet.process.model_server import ServerState
from linnet.records import Deploy, DriftReport, Interval, SuspectSample, Symptoms, VersionTraffic, now
from linnet.records.prediction_log import served_files, served_schema

TIMEOUT = 5.0
"""Seconds that a server may take to answer."""
_TRAFFIC = ("latency_ms", "ok", "error", "confidence", "predicted")
_SAMPLES = 8


@dataclass(frozen=True, slots=True)
class Places:
    """Where to look."""

    model: str
    champion: str | None
    server_state: Path
    log: Path
    windows: Path
    """Folder of monitored windows, of which the model's newest counts."""
    disk: Path
    deploys: tuple[Deploy, ...] = ()
    package: Path | None = None
    """The champion's package, with the reference that the open window is held against; None: not known."""
    monitoring: MonitoringConfig = field(default_factory=MonitoringConfig)
    unwatched: str = ""
    """Why nobody judges the model's windows by itself; empty: nothing keeps them from it."""


@dataclass(slots=True)
class _Seen:
    values: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def skipped(self, error: OSError) -> None:
        """Notes a folder that cannot be listed; one that is not there yet is none."""
        if not isinstance(error, FileNotFoundError):
            self.notes.append(f"what lies in it is not looked at: {error}")


def gather(places: Places, minutes: float = 30.0, at: datetime | None = None) -> Symptoms:
    """What can be seen now; the last `minutes` of the log are held against four times as long before."""
    moment = at or now()
    seen = _Seen()
    _server(places, seen)
    about, unknown = machine_symptoms(places.disk)
    seen.values |= about
    seen.notes += [unknown] if unknown else []
    _log(places, moment, timedelta(minutes=minutes), seen)
    seen.values["usual_requests"] = usual_requests(
        places.log, places.model, moment, timedelta(minutes=minutes)
    )
    _windows(places, seen)
    _open_window(places, moment, timedelta(minutes=minutes), seen)
    return Symptoms.model_validate(
        {
            "at": moment, "model": places.model, "champion": places.champion, "reachable": False,
            "ready": False, "deploys": places.deploys, "notes": tuple(seen.notes), **seen.values,
        }
    )  # fmt: skip


def _server(places: Places, seen: _Seen) -> None:
    state = ServerState.read(places.server_state)
    if state is None:
        seen.notes.append("no server of this machine says that it runs (`linnet up` starts one)")
        return
    try:
        ready = _get(state.url, f"/v2/models/{quote(places.model, safe='')}/ready")[0] == 200
        asked_at = time.time()
        text = _get(state.url, "/metrics")[1].decode()
    except (OSError, http.client.HTTPException) as error:
        seen.notes.append(f"{state.url} cannot be asked: {error}")
        return
    seen.values |= {"reachable": True, "ready": ready, **server_symptoms(text, places.model, asked_at)}


def _get(url: str, path: str) -> tuple[int, bytes]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _log(places: Places, at: datetime, span: timedelta, seen: _Seen) -> None:
    import pyarrow as pa
    import pyarrow.dataset as ds

    since = at - 5 * span
    files = [p for p in served_files(places.log, seen.skipped) if _changed_at(p) >= since.timestamp()]
    if not files:
        seen.notes.append(f"{places.log}: nothing was logged in the last {5 * span}")
        return
    columns = [*("request_id", "index", "at", "model", "version"), *_TRAFFIC]
    wanted = (ds.field("at") >= since) & (ds.field("model") == places.model)
    tables = []
    for path in files:
        try:
            source = ds.dataset(str(path), schema=served_schema(), format="parquet")
            tables.append(source.to_table(columns=columns, filter=wanted))
        except (OSError, ValueError, pa.ArrowException) as error:
            seen.notes.append(f"{path}: this file of the prediction log cannot be read: {error}")
    if not tables:
        return
    frame = pa.concat_tables(tables).to_pandas()
    recent = frame[frame["at"] >= at - span]
    seen.values["recent"] = tuple(_by_version(recent))
    seen.values["before"] = tuple(_by_version(frame[frame["at"] < at - span]))
    seen.values["samples"] = (*_samples(recent), *seen.values.get("samples", ()))


def _changed_at(path: Path) -> float:
    """In seconds since the epoch; of a file that was deleted just now: long ago."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _by_version(frame: Any) -> Iterable[VersionTraffic]:
    for version, rows in frame[frame["index"] == 0].groupby("version"):  # a request may bring several images
        latency = rows["latency_ms"].quantile(0.95)
        answered = int(rows["ok"].sum())
        yield VersionTraffic(
            version=str(version),
            answered=answered,
            failed=len(rows) - answered,
            latency_p95_ms=float(latency),
        )


def _samples(frame: Any) -> Iterable[SuspectSample]:
    failed = frame[~frame["ok"]].tail(_SAMPLES // 2)
    for row in failed.itertuples():
        yield SuspectSample(
            name=f"request {row.request_id}", why=f"failed on version {row.version}: {row.error}"
        )
    unsure = frame[frame["ok"]].nsmallest(_SAMPLES - len(failed), "confidence")
    for row in unsure.itertuples():
        why = f"version {row.version} said {row.predicted} with confidence {row.confidence:.2f}"
        yield SuspectSample(name=f"request {row.request_id}", why=why)


def _windows(places: Places, seen: _Seen) -> None:
    newest = _newest(places, seen)
    if newest is None:
        seen.notes.append("no window of the champion was monitored yet")
        seen.values["unwatched"] = places.unwatched
        return
    folder, drift = newest
    seen.values["window_checked"] = drift.get("verdict") in ("stable", "drift")
    seen.values |= _drifted(drift)
    strange = tuple(
        SuspectSample(name=f"sample {name}", why="least like the reference")
        for name in drift.get("samples", [])[:4]
    )
    seen.values["samples"] = (*seen.values.get("samples", ()), *strange)
    performance = _read(folder / "performance.json", seen)
    seen.values |= of_cohorts(drift, performance)
    seen.values |= labels_symptoms(places.windows, places.model)
    if performance.get("loss"):
        seen.values["loss"] = Interval.model_validate(performance["loss"])
    skew = _read(folder / "skew.json", seen)
    if skew:
        seen.values |= _skewed(skew)


def _skewed(report: dict[str, Any]) -> dict[str, Any]:
    """What an audit found; one that compared nothing found no difference, and proves nothing."""
    differences, libraries = int(report.get("differences", 0)), tuple(report.get("libraries", ()))
    if not differences and report.get("compared") == 0:
        why = next(reversed(report.get("notes", [])), "no row could be compared")
        return {"skew_uncompared": why, "skew_libraries": libraries}
    by_store = sum(one.get("source") == "store" for one in report.get("examples", []))
    return {"skew_differences": differences, "skew_by_store": by_store, "skew_libraries": libraries}


def _drifted(report: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """`input_drift` and `output_drift` of a drift report: a sentence per quantity, the largest first."""
    found: dict[str, list[str]] = {"input_drift": [], "output_drift": []}
    tests = [test for test in report.get("tests", []) if test.get("drifted")]
    for test in sorted(tests, key=lambda test: -test["effect"]):
        kind = "input_drift" if test["kind"] == "feature" else "output_drift"
        found[kind].append(
            f"{test['name']}, effect {test['effect']:.3f} (from {test['threshold']:g} on it matters)"
        )
    return {kind: tuple(sentences) for kind, sentences in found.items()}


def _open_window(places: Places, at: datetime, span: timedelta, seen: _Seen) -> None:
    """The window that is still open counts more than one that is closed, where it can be judged."""
    if places.champion is None or places.package is None:
        return
    try:
        found = judge_open_window(
            places.log, places.model, places.champion, places.package, places.monitoring, span, at
        )
    except (LinnetError, OSError) as error:
        seen.notes.append(f"the window that is still open cannot be judged: {error}")
        return
    seen.notes += found.notes
    if found.performance.loss is not None and (found.performance.labelled or "loss" not in seen.values):
        seen.values["loss"] = found.performance.loss
    if found.drift.verdict == "insufficient":
        seen.notes.append(_too_few(found.drift, places.monitoring))
        return
    closed = (*seen.values.get("input_drift", ()), *seen.values.get("output_drift", ()))
    now_drifted = _drifted(found.drift.model_dump(mode="json"))
    still = any(now_drifted.values())
    seen.values |= {**now_drifted, "window_checked": True, "earlier_drift": () if still else closed}


def _too_few(drift: DriftReport, config: MonitoringConfig) -> str:
    return (
        f"the window that is still open holds {drift.window.extent} of the champion since "
        f"{drift.window.start:%H:%M} UTC, and {config.min_rows} are needed for a verdict: "
        "--minutes looks further back"
    )


def _newest(places: Places, seen: _Seen) -> tuple[Path, dict[str, Any]] | None:
    """Folder and drift report of the newest window that the champion served."""
    found = []
    for folder, _, files in os.walk(places.windows, onerror=seen.skipped):
        if DRIFT_FILE not in files:
            continue
        path = Path(folder) / DRIFT_FILE
        report = _read(path, seen)
        window = report.get("window", {})
        if window.get("model") == places.model and places.champion in (None, window.get("version")):
            found.append((str(window.get("end")), path.parent, report))
    return max(found, key=lambda one: one[0])[1:] if found else None


def _read(path: Path, seen: _Seen) -> dict[str, Any]:
    """A record; one that is missing is empty, and so is one that cannot be read, with a note."""
    try:
        values = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        seen.notes.append(f"{path} cannot be read: {error}")
        return {}
    return values if isinstance(values, dict) else {}
