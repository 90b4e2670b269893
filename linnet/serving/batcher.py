"""Adaptive batching that never waits for company: idle, a request runs at once; busy, what queued up
meanwhile runs together.

On the event loop's own thread, where that is short: a model that answers in a millisecond or two would
lose more by the hand-over to a thread and back than it gains. What takes longer runs in a thread, so
that the loop goes on reading, refusing and keeping time.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from linnet.artifacts.onnx_model import Floats, Images
from linnet.errors import RequestRejected
from linnet.serving.predictor import Prediction, Predictor

INLINE_SECONDS = 0.006
"""What is expected to take no longer runs on the event loop."""
_MEMORY = 0.2
"""Weight of the newest measurement in the moving mean of seconds an image."""


class ModelEnds(RequestRejected):
    """The model is being taken out of service, and did not get to this request."""

    def __init__(self) -> None:
        super().__init__(503, "the model is being taken out of service; try again later")


@dataclass(slots=True, eq=False)
class Job:
    """One request's images for one version; the result is put into it."""

    predictor: Predictor
    images: Images
    features: Floats | None
    keys: Mapping[str, str]
    deadline: float = float("inf")
    """On the clock of `time.perf_counter`; a job that has not begun by then is refused."""
    prediction: Prediction | None = None
    error: Exception | None = None
    seconds: float = 0.0
    """This job's share of the time that features and model took."""
    done: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Batcher:
    """The queue of one worker process; used from its event loop only."""

    def __init__(
        self, capacity: int, max_rows: int, threads: int, ran: Callable[[Predictor, int], None]
    ) -> None:
        """`capacity`: jobs that may wait; `max_rows`: images a run; `ran` is told (version, images)."""
        self._queue: deque[Job] = deque()
        self._spare: deque[Job] = deque()
        self._capacity, self._max_rows, self._ran = capacity, max_rows, ran
        self._pool = ThreadPoolExecutor(threads, "predict")
        self._lanes, self._busy = threads, 0
        self._spare_pool, self._spare_busy = ThreadPoolExecutor(1, "mirror"), False
        self._scheduled = self._ended = False

    @property
    def waiting(self) -> int:
        """Jobs in the queue."""
        return len(self._queue)

    def retry_after(self) -> int:
        """Whole seconds after which what waits now will have been answered, at least one."""
        rows = sum(len(job.images) * job.predictor.pace for job in self._queue)
        return max(1, min(60, round(rows + 0.5)))

    async def run(self, job: Job) -> None:
        """Runs a job; `prediction` or `error` is set afterwards.

        Raises:
            RequestRejected: 429, the queue is full; 503, the deadline passed in the queue, or the model ends.
        """
        if self._ended:
            raise ModelEnds
        if len(self._queue) >= self._capacity:
            raise RequestRejected(429, f"{len(self._queue)} requests are waiting; try again later")
        self._queue.append(job)
        self._schedule()
        await job.done

    async def run_spare(self, job: Job) -> None:
        """Runs a job when nothing else waits, as `run` does.

        Raises:
            RequestRejected: 503, the model ends.
        """
        if self._ended:
            raise ModelEnds
        self._spare.append(job)
        self._schedule()
        await job.done

    def end(self) -> None:
        """Refuses what waits, and all that comes from now on; what runs is finished."""
        self._ended = True
        for job in (*self._queue, *self._spare):
            if not job.done.done():
                job.done.set_exception(ModelEnds())
        self._queue.clear()
        self._spare.clear()

    def close(self) -> None:
        """Ends the threads when their work is done; after `end`."""
        self._pool.shutdown(wait=True)
        self._spare_pool.shutdown(wait=True)

    def _schedule(self) -> None:
        # Not at once: all sockets that are readable now are read first, and so ride together.
        if not self._scheduled and self._busy < self._lanes:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        self._scheduled = False
        jobs = self._gather()
        if not jobs:
            self._next_spare()
        elif _is_short(jobs):
            compute(jobs)
            self._finish(jobs)
        else:
            self._busy += 1
            running = asyncio.get_running_loop().run_in_executor(self._pool, compute, jobs)
            running.add_done_callback(lambda _: self._back(jobs))
            if self._queue:
                self._schedule()

    def _next_spare(self) -> None:
        """One spare job; a long one in a thread of its own, so that it never stands before a request."""
        if not self._spare or self._spare_busy:
            return
        jobs = [self._spare.popleft()]
        if _is_short(jobs):
            compute(jobs)
            self._finish(jobs)
            return
        self._spare_busy = True
        running = asyncio.get_running_loop().run_in_executor(self._spare_pool, compute, jobs)
        running.add_done_callback(lambda _: self._spare_back(jobs))

    def _back(self, jobs: list[Job]) -> None:
        self._busy -= 1
        self._finish(jobs)

    def _spare_back(self, jobs: list[Job]) -> None:
        self._spare_busy = False
        self._finish(jobs)

    def _finish(self, jobs: list[Job]) -> None:
        self._ran(jobs[0].predictor, sum(len(job.images) for job in jobs))
        for job in jobs:
            if not job.done.done():
                job.done.set_result(None)
        if self._queue or self._spare:
            self._schedule()

    def _gather(self) -> list[Job]:
        """The first job that is still wanted, and those behind it that may ride with it."""
        jobs: list[Job] = []
        now, rest, rows = time.perf_counter(), deque[Job](), 0
        while self._queue:
            job = self._queue.popleft()
            if job.deadline < now:
                problem = "the request waited longer than its deadline allows; try again later"
                if not job.done.done():
                    job.done.set_exception(RequestRejected(503, problem))
            elif not jobs or (
                job.predictor is jobs[0].predictor
                and rows + len(job.images) <= self._max_rows
                and not (job.keys or jobs[0].keys)
            ):
                jobs.append(job)
                rows += len(job.images)
                if rows >= self._max_rows:
                    break
            else:
                rest.append(job)
        self._queue.extendleft(reversed(rest))
        return jobs


def _is_short(jobs: list[Job]) -> bool:
    """Whether to run on the event loop: what waits for a store or for another process is not short."""
    predictor = jobs[0].predictor
    expected = sum(len(job.images) for job in jobs) * predictor.pace
    return not predictor.isolated and expected <= INLINE_SECONDS and not any(job.keys for job in jobs)


def compute(jobs: list[Job]) -> None:
    """Predicts jobs of one version together; if that fails, each by itself, so that only the bad one does."""
    predictor = jobs[0].predictor
    began = time.perf_counter()
    try:
        prediction = _predict(predictor, jobs)
    except Exception as error:  # noqa: BLE001  whatever it is, it stays inside these requests
        if len(jobs) == 1:
            jobs[0].error, jobs[0].seconds = error, time.perf_counter() - began
            return
        for job in jobs:
            compute([job])
        return
    seconds = time.perf_counter() - began
    rows = len(prediction.images)
    predictor.pace += _MEMORY * (seconds / rows - predictor.pace)
    start = 0
    for job in jobs:
        end = start + len(job.images)
        job.prediction = prediction if len(jobs) == 1 else _part(prediction, slice(start, end))
        job.seconds = seconds * len(job.images) / rows
        start = end


def _predict(predictor: Predictor, jobs: list[Job]) -> Prediction:
    if len(jobs) == 1:
        job = jobs[0]
        features = job.features
        if features is None:
            features = predictor.features(job.images, job.keys)
        return predictor.run(job.images, features)
    images = np.concatenate([job.images for job in jobs])
    if all(job.features is None for job in jobs):
        return predictor.run(images, predictor.features(images))
    given = [predictor.features(job.images) if job.features is None else job.features for job in jobs]
    return predictor.run(images, np.concatenate(given))


def _part(prediction: Prediction, rows: slice) -> Prediction:
    return Prediction(
        prediction.images[rows],
        prediction.features[rows],
        prediction.output[rows],
        prediction.embedding[rows],
    )
