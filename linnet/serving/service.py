"""What happens to one request: choose a version, prepare, predict, and after the answer log and mirror."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from linnet.artifacts.onnx_model import Floats, Images
from linnet.errors import RequestRejected, ServingError
from linnet.serving.batcher import Batcher, Job, ModelEnds
from linnet.serving.fleet import Fleet
from linnet.serving.log import LogEntry, PredictionLog
from linnet.serving.metrics import Metrics
from linnet.serving.predictor import Prediction, Predictor
from linnet.serving.ring import served_record
from linnet.serving.totals import LOST
from linnet.tasks.agree import agreement_of

logger = logging.getLogger(__name__)
MIRROR_QUEUE = 256
MIRROR_BYTES = 32 << 20
"""Copies that may wait, and bytes of their images; more are skipped: mirroring never delays an answer."""
MIRROR_SECONDS = 1.0
"""Longest time that a model which ends waits for copies."""
RECORDS = 100_000
"""Served records that a worker keeps until they are fetched; the oldest go first, and are counted."""

Inputs = tuple[Images, Floats | None]
Prepare = Callable[[Predictor], Inputs]
Render = Callable[[Predictor, Prediction, float], tuple[bytes, int | None]]


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as the service needs it."""

    request_id: str
    key: str | None
    """Sticky routing key."""
    version: str | None
    """Ask this version and not the routing table."""
    prepare: Prepare
    """Decodes or parses for a version: images, and features if the request brings them."""
    render: Render
    """(predictor, prediction, milliseconds) -> body, and the length of its JSON head if binary follows."""
    heavy: bool = False
    """`prepare` takes long and runs in a thread."""
    entity: Mapping[str, str] = field(default_factory=dict)
    """Entity keys, to look features up in the online store."""
    deadline: float | None = None
    """Seconds that the request may wait; None: as the server is set."""
    segments: Callable[[], dict[str, str]] = dict
    """Which groups of users it comes from; asked after the answer, when the body was read."""


@dataclass(slots=True)
class PredictionOutcome:
    """How it went: `body` is set if it went well, `status` and `error` if not."""

    version: str
    status: int
    body: bytes = b""
    head: int | None = None
    error: str | None = None
    prediction: Prediction | None = None
    refusal: RequestRejected | None = None
    """Why it was refused, where it was."""
    service: float = 0.0
    """Seconds of decoding, features and model, without the queue."""


class Service:
    """Runs calls against the fleet, on one event loop."""

    def __init__(
        self,
        fleet: Fleet,
        metrics: Metrics,
        log: PredictionLog,
        *,
        capacity: int = 256,
        max_batch: int = 32,
        deadline: float = 10.0,
        threads: int = 1,
    ) -> None:
        """`capacity`: requests in flight; `deadline`: seconds in the queue; `threads`: that predict."""
        self.fleet, self.metrics, self.log = fleet, metrics, log
        self.records: deque[dict[str, Any]] = deque()
        self.lost = 0
        self._deadline, self._capacity, self._in_flight = deadline, capacity, 0
        self._unsent = 0
        """Answers whose senders did not say yet that they went out: they are logged then."""
        self._batcher = Batcher(capacity, max_batch, threads, self._ran)
        self._prepare = ThreadPoolExecutor(1, "prepare")
        self._mirrors: set[asyncio.Task[None]] = set()
        self._mirrored = 0
        self._ending = False
        metrics.watch("linnet_in_flight", "Requests being answered.", lambda: self._in_flight)
        metrics.watch("linnet_queue", "Requests that wait for the model.", lambda: self._batcher.waiting)
        metrics.watch("linnet_log_queue", "Requests that wait to be logged.", lambda: log.waiting)
        metrics.watch("linnet_log_dropped_total", LOST, lambda: log.dropped)

    async def answer(self, call: Call) -> tuple[PredictionOutcome, Callable[[], None]]:
        """Answers a call; the second value is to be called when the answer has been sent.

        Raises:
            RequestRejected: 404 or 503, no version could be chosen, the deadline passed, or the model ends;
                429, too many are in flight. What goes wrong later is in the outcome.
        """
        if self._ending:
            raise ModelEnds
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
            raise RequestRejected(404, f"version {call.version:.80} is not loaded")
        if self._in_flight >= self._capacity:
            raise RequestRejected(429, f"{self._in_flight} requests are being answered; try again later")
        self._in_flight += 1
        try:
            outcome = await self._run(call, predictor, began)
        finally:
            self._in_flight -= 1
        total = time.perf_counter() - began
        self._unsent += 1

        def finish() -> None:
            self._unsent -= 1
            self._finish(call, predictor, mirror, outcome, total)

        return outcome, finish

    def retry_after(self) -> int:
        """Seconds that a refused client should wait."""
        return self._batcher.retry_after()

    async def end(self, seconds: float) -> None:
        """Answers what was asked before, for at most `seconds`, and makes the copies that are under way.

        What still waits then is refused, as is all that comes from now on (503); the threads end.
        """
        self._ending = True
        await _within(seconds, lambda: not self._in_flight)
        await _within(min(seconds, MIRROR_SECONDS), lambda: not self._mirrors)
        self._batcher.end()
        await asyncio.get_running_loop().run_in_executor(None, self.close)
        # What ran until now, or was refused, comes to its end.
        await _within(MIRROR_SECONDS, lambda: not (self._in_flight or self._mirrors or self._unsent))

    def close(self) -> None:
        """Ends the threads when their work is done."""
        self._prepare.shutdown(wait=True)
        self._batcher.close()

    async def _run(self, call: Call, predictor: Predictor, began: float) -> PredictionOutcome:
        version = predictor.version
        try:
            job, seconds = await self._job(call, predictor, began)
        except RequestRejected as error:
            return PredictionOutcome(version, error.status, error=error.problem, refusal=error)
        await self._batcher.run(job)
        seconds += job.seconds
        if isinstance(job.error, RequestRejected):  # such as a sample that the feature store does not know
            return PredictionOutcome(version, job.error.status, error=job.error.problem, refusal=job.error)
        if job.prediction is None:
            return PredictionOutcome(version, 500, error=_problem(call, version, job.error), service=seconds)
        body, head = call.render(predictor, job.prediction, seconds * 1e3)
        return PredictionOutcome(version, 200, body, head, prediction=job.prediction, service=seconds)

    async def _job(self, call: Call, predictor: Predictor, began: float) -> tuple[Job, float]:
        """The prepared job, and the seconds that preparing took."""
        until = began + min(call.deadline or self._deadline, self._deadline)
        if call.heavy:
            loop = asyncio.get_running_loop()
            inputs, seconds = await loop.run_in_executor(self._prepare, _timed, call.prepare, predictor)
        else:
            inputs, seconds = _timed(call.prepare, predictor)
        predictor.check(*inputs)
        return Job(predictor, *inputs, call.entity, until), seconds

    def _ran(self, predictor: Predictor, rows: int) -> None:
        self.metrics.ran(predictor.version, rows)

    def _finish(
        self,
        call: Call,
        predictor: Predictor,
        mirror: Predictor | None,
        outcome: PredictionOutcome,
        total: float,
    ) -> None:
        rejected = outcome.status != 500 and outcome.prediction is None
        label = "rejected" if rejected else "failed" if outcome.prediction is None else "ok"
        self.metrics.answered(predictor.version, label, total, outcome.service)
        segments = call.segments()
        if segments:
            self.metrics.segmented(predictor.version, label, segments)
        if rejected:
            return  # the client's fault says nothing about a version
        at = time.time()
        latency_ms = round(outcome.service * 1e3, 3)
        self.log.offer(
            LogEntry(
                call.request_id, at, self.metrics.model, predictor.version, predictor.answer,
                latency_ms, outcome.prediction, outcome.error, segments,
            )
        )  # fmt: skip
        if call.version is not None:
            return  # asked for by name: not part of the split that a judge compares
        record = served_record(self.metrics.model, predictor, outcome.prediction, at, latency_ms)
        if segments:
            record["segments"] = segments
        if mirror is None or outcome.prediction is None:
            self._publish(record)
        elif (
            len(self._mirrors) >= MIRROR_QUEUE
            or self._mirrored + outcome.prediction.images.nbytes > MIRROR_BYTES
        ):
            self.metrics.mirrored(mirror.version, "skipped")
            self._publish(record)
        else:
            size = outcome.prediction.images.nbytes
            self._mirrored += size
            task = asyncio.ensure_future(self._mirror(call, mirror, record))
            self._mirrors.add(task)
            task.add_done_callback(lambda done: self._mirror_done(done, size))

    def _mirror_done(self, task: asyncio.Task[None], size: int) -> None:
        self._mirrors.discard(task)
        self._mirrored -= size

    async def _mirror(self, call: Call, mirror: Predictor, record: dict[str, Any]) -> None:
        """Runs the same request on the other version; a failure there counts as another answer."""
        job, seconds = None, 0.0
        try:
            job, seconds = await self._job(call, mirror, float("inf"))
            await self._batcher.run_spare(job)
        except ModelEnds:  # says nothing about the version
            self.metrics.mirrored(mirror.version, "skipped")
            self._publish(record)
            return
        except Exception as error:  # noqa: BLE001  a shadow may do anything but harm
            logger.debug("mirrored request %s failed on %s: %s", call.request_id, mirror.version, error)
        prediction = job.prediction if job is not None else None
        seconds += job.seconds if job is not None else 0.0
        shadow = served_record(self.metrics.model, mirror, prediction, time.time(), round(seconds * 1e3, 3))
        said = shadow["predicted"]
        agreement = agreement_of(mirror.package.task)
        record["agrees"] = 0.0 if prediction is None else agreement(said, record["predicted"])
        outcome = "failed" if prediction is None else "agrees" if record["agrees"] == 1.0 else "differs"
        self.metrics.mirrored(mirror.version, outcome)
        self._publish(record)
        self._publish({**shadow, "shadow": True})

    def _publish(self, record: dict[str, Any]) -> None:
        if len(self.records) >= RECORDS:
            self.records.popleft()
            self.lost += 1
        self.records.append(record)


async def _within(seconds: float, done: Callable[[], bool]) -> None:
    """Waits until it is done, or the time is over."""
    until = time.monotonic() + seconds
    while not done() and time.monotonic() < until:
        await asyncio.sleep(0.005)


def _timed(prepare: Prepare, predictor: Predictor) -> tuple[Inputs, float]:
    began = time.perf_counter()
    return prepare(predictor), time.perf_counter() - began


def _problem(call: Call, version: str, error: Exception | None) -> str:
    """What to tell the client; the log gets the rest."""
    if isinstance(error, ServingError):
        logger.warning("request %s failed on version %s: %s", call.request_id, version, error)
        return str(error)
    logger.error("request %s failed on version %s", call.request_id, version, exc_info=error)
    return "the server failed on this request; its log has the reason"
