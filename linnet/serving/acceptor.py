"""Taking connections from the one listening socket that all workers share, evenly.

The kernel hands a new connection to whoever asks first, which leaves some cores idle as long as
connections live. So a worker that has more connections than another one leaves the next to it, for a
moment: if nobody took it meanwhile (the other may be computing), it does.
"""

from __future__ import annotations

import asyncio
import logging
import socket

from linnet.serving.http import Connection, HttpServer
from linnet.serving.shared import SharedPage

logger = logging.getLogger(__name__)
DEFER_SECONDS = 0.005
DEFERS = 4
"""A connection is left to others this often at most."""
MAX_CONNECTIONS = 10_000
"""A worker's connections; more wait in the listening socket's queue."""


class Acceptor:
    """One worker's side of the listening socket."""

    def __init__(
        self, listener: socket.socket, server: HttpServer, page: SharedPage, number: int, workers: int
    ) -> None:
        self._listener, self._server, self._page = listener, server, page
        self._number, self._workers = number, workers
        self._deferred = 0
        self._stopped = False
        self._tasks: set[asyncio.Task[None]] = set()
        listener.setblocking(False)

    def start(self) -> None:
        """Begins to take connections."""
        self._server.changed = self._changed
        self._changed(0)
        self._watch()

    def stop(self) -> None:
        """Takes what has connected already, and no more. One block without a pause: none is lost."""
        if not self._stopped:
            self._stopped = True
            asyncio.get_running_loop().remove_reader(self._listener.fileno())
            while self._take():
                pass
            self._listener.close()

    async def wait_idle(self) -> None:
        """Waits until every connection that was taken has its protocol."""
        await asyncio.gather(*self._tasks)

    def _changed(self, count: int) -> None:
        self._page.set_connections(self._number, count)

    def _watch(self) -> None:
        if not self._stopped:
            asyncio.get_running_loop().add_reader(self._listener.fileno(), self._ready)

    def _ready(self) -> None:
        counts = self._page.connections(self._workers)
        crowded = len(self._server.connections) + len(self._tasks) > MAX_CONNECTIONS
        if crowded or (counts[self._number] > min(counts) and self._deferred < DEFERS):
            self._deferred += 1
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._listener.fileno())
            loop.call_later(DEFER_SECONDS, self._watch)
            return
        self._deferred = 0
        self._take()

    def _take(self) -> bool:
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return False
        except OSError as error:  # out of descriptors: the connection stays in the queue
            logger.warning("a connection cannot be taken: %s", error)
            return False
        self._page.set_connections(self._number, len(self._server.connections) + len(self._tasks) + 1)
        task = asyncio.ensure_future(self._serve(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _serve(self, connection: socket.socket) -> None:
        if connection.family in (socket.AF_INET, socket.AF_INET6):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(lambda: Connection(self._server), connection)
