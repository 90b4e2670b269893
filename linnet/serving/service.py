"""What happens to one request: choose, predict in a worker thread, and after the answer log and mirror."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from linnet.errors import RequestRejected, ServingError
from linnet.serving.fleet import Fleet
from linnet.serving.log import LogEntry, PredictionLog
from linnet.serving.metrics import Metrics
from linnet.serving.predictor import Prediction, Predictor
from linnet.serving.ring import ServedRing

logger = logging.getLogger(__name__)
MIRROR_QUEUE = 256
"""Copies that may wait; more are skipped, so that mirroring never delays an answer."""

MAX_IN_FLIGHT = 512
"""Requests that may be answered or wait at one moment; more get 429, so that none waits without end."""

Work = Callable[[Predictor], Prediction]
Render = Callable[[Predictor, Prediction, float], tuple[bytes, int | None]]


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as the service needs it; `work` and `render` run in a worker thread."""

    request_id: str
    key: str | None
    """Sticky routing key."""
    version: str | None
    """Ask this version and not the routing table."""
    work: Work
    render: Render
    """(predictor, prediction, milliseconds) -> body, and the length of its JSON head if binary follows."""


@dataclass(slots=True)
class Outcome:
    """How it went: `body` is set if it went well, `status` and `error` if not."""

    version: str
    status: int
    body: bytes = b""
    head: int | None = None
    error: str | None = None
    prediction: Prediction | None = None
    service: float = 0.0
    """Seconds of decoding, features and model, without the queue."""


class Service:
    """Runs calls against the fleet; the event loop only waits."""

    def __init__(
        self,
        fleet: Fleet,
        metrics: Metrics,
        log: PredictionLog,
        ring: ServedRing,
        workers: int = 0,
        max_in_flight: int = MAX_IN_FLIGHT,
    ) -> None:
        """`workers`: threads that predict; 0: as many as there are cores, at least two."""
        self.fleet, self.metrics, self.log, self.ring = fleet, metrics, log, ring
        workers = workers or max(os.cpu_count() or 1, 2)
        self._pool = ThreadPoolExecutor(workers, "predict")
        self._in_flight, self._max_in_flight = 0, max_in_flight  # changed by the event loop only
        self._mirrors = ThreadPoolExecutor(1, "mirror")
        self._mirror_room = threading.BoundedSemaphore(MIRROR_QUEUE)
        metrics.watch("linnet_in_flight", "Requests being answered.", lambda: self._in_flight)
        metrics.watch(
            "linnet_queue", "Requests that wait for a thread.", lambda: max(self._in_flight - workers, 0)
        )
        metrics.watch("linnet_log_queue", "Requests that wait to be logged.", lambda: log.waiting)
        metrics.watch("linnet_log_dropped_total", "Requests that the log lost.", lambda: log.dropped)

    async def answer(self, call: Call) -> tuple[Outcome, Callable[[], None]]:
        """Answers a call; the second value is to be called when the answer has been sent.

        Raises:
            RequestRejected: 404 or 503, no version could be chosen; 429, too many
                are in flight. What goes wrong later is in the outcome.
        """
        began = time.perf_counter()
        snapshot = self.fleet.snapshot
        mirror = None
        if call.version is None:
            choice = snapshot.table.choose(call.key, random.random(), random.random())  # noqa: S311
            predictor = snapshot.predictors[choice.version]
            mirror = snapshot.predictors[choice.mirror] if choice.mirror else None
        elif call.version in snapshot.predictors:
            predictor = snapshot.predictors[call.version]
        else:
            raise RequestRejected(404, f"version {call.version} is not loaded")
        if self._in_flight >= self._max_in_flight:
            raise RequestRejected(429, f"{self._in_flight} requests are being answered; try again later")
        self._in_flight += 1
        try:
            outcome = await asyncio.get_running_loop().run_in_executor(self._pool, _run, predictor, call)
        finally:
            self._in_flight -= 1
        total = time.perf_counter() - began

        def finish() -> None:
            self._finish(call, predictor, mirror, outcome, total)

        return outcome, finish

    def close(self) -> None:
        """Ends the threads when their work is done."""
        self._pool.shutdown(wait=True)
        self._mirrors.shutdown(wait=True, cancel_futures=True)

    def _finish(
        self, call: Call, predictor: Predictor, mirror: Predictor | None, outcome: Outcome, total: float
    ) -> None:
        rejected = outcome.status < 500 and outcome.prediction is None
        label = "rejected" if rejected else "failed" if outcome.prediction is None else "ok"
        self.metrics.answered(predictor.version, label, total, outcome.service)
        if rejected:
            return  # the client's fault says nothing about a version
        at = time.time()
        latency_ms = round(outcome.service * 1e3, 3)
        self.log.offer(
            LogEntry(
                call.request_id, at, self.metrics.model, predictor.version, predictor.classes,
                latency_ms, outcome.prediction, outcome.error,
            )
        )  # fmt: skip
        if call.version is not None:
            return  # asked for by name: not part of the split that a judge compares
        record = _served_record(predictor, outcome.prediction, at, latency_ms)
        if mirror is None or outcome.prediction is None:
            self.ring.publish(record)
        elif not self._mirror_room.acquire(blocking=False):
            self.metrics.mirrored(mirror.version, "skipped")
            self.ring.publish(record)
        else:
            self._mirrors.submit(self._mirror, call, mirror, record)

    def _mirror(self, call: Call, mirror: Predictor, record: dict[str, Any]) -> None:
        """Runs the same request on the other version; a failure there counts as another answer."""
        prediction, began = None, time.perf_counter()
        try:
            prediction = call.work(mirror)
            named = mirror.classes[int(prediction.probabilities[0].argmax())]
            record["agrees"] = named == record["predicted"]
            self.metrics.mirrored(mirror.version, "agrees" if record["agrees"] else "differs")
        except Exception as error:  # noqa: BLE001  a shadow may do anything but harm
            logger.debug("mirrored request %s failed on %s: %s", call.request_id, mirror.version, error)
            record["agrees"] = False
            self.metrics.mirrored(mirror.version, "failed")
        finally:
            latency_ms = round((time.perf_counter() - began) * 1e3, 3)
            self._mirror_room.release()
            self.ring.publish(record)
            self.ring.publish({**_served_record(mirror, prediction, time.time(), latency_ms), "shadow": True})


def _run(predictor: Predictor, call: Call) -> Outcome:
    """Predicts and renders, in a worker thread; whatever goes wrong stays inside this request."""
    began = time.perf_counter()
    version = predictor.version
    try:
        prediction = call.work(predictor)
        service = time.perf_counter() - began
        body, head = call.render(predictor, prediction, service * 1e3)
        return Outcome(version, 200, body, head, None, prediction, service)
    except RequestRejected as error:
        return Outcome(version, error.status, error=error.problem)
    except ServingError as error:
        logger.warning("request %s failed on version %s: %s", call.request_id, version, error)
        return Outcome(version, 500, error=str(error), service=time.perf_counter() - began)
    except Exception:
        logger.exception("request %s failed on version %s", call.request_id, version)
        problem = "the server failed on this request; its log has the reason"
        return Outcome(version, 500, error=problem, service=time.perf_counter() - began)


def _served_record(
    predictor: Predictor, prediction: Prediction | None, at: float, latency_ms: float
) -> dict[str, Any]:
    """The fields of a `ServedRecord`; of several images the first speaks for the request."""
    predicted = confidence = None
    if prediction is not None:
        top = int(prediction.probabilities[0].argmax())
        predicted, confidence = predictor.classes[top], float(prediction.probabilities[0, top])
    return {
        "at": at,
        "version": predictor.version,
        "ok": prediction is not None,
        "latency_ms": latency_ms,
        "predicted": predicted,
        "confidence": confidence,
        "agrees": None,
    }
