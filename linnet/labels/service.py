"""The reconciler as a service: polls the label server, sooner when a webhook says so, and acts on rounds.

`routes` and `start` fit into any ASGI app's process; `serve` runs them alone.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from linnet.config import LabelsConfig
from linnet.errors import LinnetError
from linnet.labels import metrics, webhook
from linnet.labels.close_rounds import settle
from linnet.labels.export import export
from linnet.labels.queue import Question
from linnet.labels.reconcile import Pulled, pull
from linnet.labels.rounds import Rounds
from linnet.labels.server import LabelServer
from linnet.labels.trigger import RunTrigger
from linnet.records import now

logger = logging.getLogger(__name__)
POLL_SECONDS, FULL_SECONDS, QUIET_SECONDS = 30.0, 600.0, 0.5
"""Between looks; between looks at everything; after a webhook, for more of them to come together."""


class Reconciler:
    """Looks at the label server again and again, in a thread of its own."""

    def __init__(
        self,
        name: str,
        server: LabelServer,
        config: LabelsConfig,
        question: Question,
        trigger: RunTrigger | None,
        poll_seconds: float = POLL_SECONDS,
        told: Callable[[str], None] = logger.info,
    ) -> None:
        """`trigger`: asks for the runs of closed rounds; None: only label sets are cut."""
        self.name, self.server, self.config, self.question = name, server, config, question
        self.trigger, self.poll_seconds, self.told = trigger, poll_seconds, told
        self.last_error = ""
        self.last_look: datetime | None = None
        self._full_at = now()
        self._hook, self._hooked = "", 0
        self._wake, self._stop = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Looks soon: what a webhook calls."""
        self._wake.set()

    def register_webhook(self, url: str) -> None:
        """From the next look on the project's webhooks go to `url`; to that of a new project, too."""
        self._hook, self._hooked = url, 0

    def routes(self) -> list[BaseRoute]:
        """The webhook, /metrics and /healthz of the reconciler."""

        async def show_metrics(_: Request) -> Response:
            return Response(metrics.text(self.name), media_type="text/plain; version=0.0.4")

        async def health(_: Request) -> JSONResponse:
            seen = self.last_look.isoformat() if self.last_look else None
            return JSONResponse(
                {"last_look": seen, "error": self.last_error}, 503 if self.last_error else 200
            )

        hooks = webhook.routes(self.name, self.wake)
        return [*hooks, Route("/labels/metrics", show_metrics), Route("/labels/healthz", health)]

    def start(self) -> None:
        """Starts the thread."""
        self._thread = threading.Thread(target=self._run, name="label-reconciler", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread after the look that is under way."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def look(self, full: bool = False) -> Pulled:
        """One look: exports what is queued, collects what is new, and settles closed rounds."""
        rounds = Rounds(self.name)
        events = rounds.events()
        project = export(self.name, self.server, self.config, self.question).project
        if self._hook and self._hooked != project:
            secret = {webhook.SECRET_HEADER: webhook.webhook_secret(self.name)}
            self.server.ensure_webhook(project, self._hook, secret)
            self._hooked = project
        deleted = any("DELETED" in action for _, action in events)
        found = pull(self.name, self.server, self.config, self.question, full or deleted)
        settle(self.name, self.trigger, self._tell_run)
        if events:
            rounds.events_done(events[-1][0])  # those that came meanwhile wait for the next look
        return found

    def _tell_run(self, run_id: str) -> None:
        self.told(f"a labelling round is complete: it caused run {run_id}")

    def _run(self) -> None:
        while not self._stop.is_set():
            due = now() >= self._full_at
            try:
                found = self.look(due)
                self.last_error, self.last_look = "", now()
                if due:
                    self._full_at = now() + timedelta(seconds=FULL_SECONDS)
                if found.added or found.quarantined:
                    self.told(
                        f"{found.added} new answers, {found.quarantined} in quarantine, {found.open} open"
                    )
            except Exception as error:  # noqa: BLE001  whatever it is, it must not end the looks for good
                problem = str(error) if isinstance(error, LinnetError) else f"{type(error).__name__}: {error}"
                if problem != self.last_error:  # once, not at every look
                    self.told(f"cannot collect answers: {problem}")
                self.last_error = problem
            self._wake.wait(self.poll_seconds)
            if self._wake.is_set():
                self._stop.wait(QUIET_SECONDS)
                self._wake.clear()


def app(reconciler: Reconciler) -> Starlette:
    """The reconciler's own ASGI app, for running it alone."""
    return Starlette(routes=reconciler.routes())
