"""Questions and answers between the supervisor and a worker: JSON over a socket pair, both ways.

A message is 4 bytes of length and a JSON object: {"id", "ask", ...} or {"id", "answer"} or
{"id", "status", "problem"}. Each side may ask at any time; answers come in any order.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from linnet.errors import RequestRejected, ServingError

logger = logging.getLogger(__name__)
Answerer = Callable[[str, dict[str, Any]], Awaitable[Any]]


class ChannelClosed(ServingError):
    """The process at the other end has gone."""


class Channel:
    """One end. `answer` is called with the name of a question and its arguments."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answerer) -> None:
        self._reader, self._writer, self._answer = reader, writer, answer
        self._numbers = itertools.count()
        self._open: dict[int, asyncio.Future[Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.closed = asyncio.Event()
        self._reading = asyncio.ensure_future(self._read())

    @classmethod
    async def over(cls, end: socket.socket, answer: Answerer) -> Channel:
        """A channel over one end of a socket pair."""
        return cls(*await asyncio.open_unix_connection(sock=end), answer)

    async def ask(self, question: str, **arguments: Any) -> Any:
        """The other side's answer.

        Raises:
            RequestRejected: the other side refused, with its status and problem.
            ChannelClosed: it has gone.
        """
        if self.closed.is_set():
            raise ChannelClosed("the process has ended")
        number = next(self._numbers)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._open[number] = future
        self._send({"id": number, "ask": question, "with": arguments})
        try:
            return await future
        finally:
            self._open.pop(number, None)

    def close(self) -> None:
        """Hangs up."""
        self._writer.close()

    def _send(self, message: dict[str, Any]) -> None:
        data = json.dumps(message, separators=(",", ":")).encode()
        if not self._writer.is_closing():
            self._writer.write(len(data).to_bytes(4, "big") + data)

    async def _read(self) -> None:
        try:
            while True:
                length = int.from_bytes(await self._reader.readexactly(4), "big")
                self._take(json.loads(await self._reader.readexactly(length)))
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self.closed.set()
            self._writer.close()
            for future in self._open.values():
                if not future.done():
                    future.set_exception(ChannelClosed("the process has ended"))

    def _take(self, message: dict[str, Any]) -> None:
        if "ask" in message:
            task = asyncio.ensure_future(self._reply(message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        future = self._open.get(message["id"])
        if future is None or future.done():
            return
        if "problem" in message:
            future.set_exception(RequestRejected(message["status"], message["problem"]))
        else:
            future.set_result(message["answer"])

    async def _reply(self, message: dict[str, Any]) -> None:
        number = message["id"]
        try:
            self._send({"id": number, "answer": await self._answer(message["ask"], message["with"])})
        except RequestRejected as error:
            self._send({"id": number, "status": error.status, "problem": error.problem})
        except ServingError as error:
            self._send({"id": number, "status": 422, "problem": str(error)})
        except Exception:
            logger.exception("%s failed", message["ask"])
            problem = "the server failed on this request; its log has the reason"
            self._send({"id": number, "status": 500, "problem": problem})
