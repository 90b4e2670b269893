"""One release of a model after another: who comes while one is under way waits for its end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from linnet.progress import Progress
from linnet.storage.files import file_name
from linnet.storage.locks import file_lock
from linnet.storage.paths import state_dir


@contextmanager
def release_turn(model: str, progress: Progress | None = None) -> Iterator[float]:
    """Holds the turn to release a model on this machine; gives the seconds that it was waited for.

    What a release decides by (who the champion is) is to be read within: a release that was waited for may
    have changed it. The system gives the turn on if the process that has it dies. A step's timeout and
    Ctrl-C end the wait.
    """
    path = state_dir() / "rollouts" / f"{file_name(model)}.turn"
    began = time.monotonic()

    def tell() -> None:
        if progress is not None:
            progress("waits for another release of this model", 0, 1)

    with file_lock(path, waiting=tell):
        yield time.monotonic() - began
