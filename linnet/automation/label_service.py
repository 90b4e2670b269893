"""The label service as a server of this machine: webhooks, the reconciler, and runs of complete rounds.

`linnet labels serve` runs it in the foreground, `linnet up --config FILE` beside the engine.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from linnet.automation.label_run import EngineTrigger
from linnet.config import Config, load_config
from linnet.errors import LinnetError
from linnet.labels.connect import connect
from linnet.labels.queue import question_of
from linnet.labels.service import POLL_SECONDS, Reconciler, app
from linnet.labels.webhook import PATH
from linnet.process.sidecar import Sidecar, stop_all
from linnet.storage.files import listed
from linnet.storage.paths import state_dir

PORT = 8089
_PREFIX, _MODULE = "label-service-", "linnet.automation.label_service"


def service_of(name: str) -> Sidecar:
    """The service of the dataset `name`."""
    return Sidecar(f"{_PREFIX}{name}", _MODULE)


def stop_services() -> bool:
    """Stops every label service of this state folder; whether there was one.

    Raises:
        RunError: one does not end.
    """
    return stop_all(Sidecar(folder.name, _MODULE).stop for folder in listed(state_dir(), f"{_PREFIX}*"))


def run_label_service(
    config: Config,
    bind: str,
    port: int,
    told: Callable[[str], None],
    poll_seconds: float = POLL_SECONDS,
    run: bool = True,
) -> None:
    """Collects answers until it is told to end.

    Args:
        config: its labels section, and what complete rounds train with.
        bind: the address to listen on.
        port: for webhooks and metrics; 0 takes a free one.
        told: is given a line of text whenever something happened.
        poll_seconds: between looks without a webhook.
        run: start the training run of a complete round.

    Raises:
        DataError: no run has asked about a sample yet.
        LabelServerError: there is no label server, or it refuses.
        RunError: the port is taken.
    """
    question = question_of(config.name)
    with connect(config.labels) as server:
        server.check()
        trigger = EngineTrigger(config) if run else None
        reconciler = Reconciler(config.name, server, config.labels, question, trigger, poll_seconds, told)

        def ready(url: str) -> None:
            reconciler.register_webhook(url + PATH.format(name=config.name))
            told(f"collecting from {server.url}; metrics at {url}/labels/metrics; Ctrl-C stops")
            reconciler.start()

        try:
            service_of(config.name).serve(app(reconciler), bind, port, ready)
        finally:
            reconciler.stop()


def main() -> int:
    """The service's own process, as `linnet up` starts it."""
    parser = argparse.ArgumentParser(description="Collects people's answers from the label server.")
    parser.add_argument("config", type=Path)
    parser.add_argument("--port", type=int, default=PORT)
    words = parser.parse_args()
    try:
        run_label_service(
            load_config(words.config), "127.0.0.1", words.port, lambda text: print(text, flush=True)
        )
    except LinnetError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
