"""Linnet's own server as a traffic target: its admin API over HTTP, and its process."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
from pydantic import TypeAdapter, ValidationError

from linnet.config import ServingConfig
from linnet.deployment.traffic import LoadRefused
from linnet.errors import RolloutError, ServingError
from linnet.process.model_server import ServerProcess, ServerState, server_command
from linnet.records import ServedRecord

LOAD_ANSWER_SECONDS = 60.0
"""Longest wait for the answer to a load. Longer than the server itself tries (`LOAD_SECONDS` in
`serving.control`), so that a candidate that takes too long is refused by it, not found silent."""
ANSWER_SECONDS = 5.0

_RECORDS = TypeAdapter(list[ServedRecord])


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class EmbeddedServer:
    """A `TrafficTarget` over one model of one server process, and over none of its other models.

    `candidate` is the version that is being released.
    """

    def __init__(self, url: str, token: str, model: str, candidate: str) -> None:
        # a server that listens on all addresses is met on the loopback one
        self.url = url.rstrip("/").replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
        self._model, self._candidate = model, candidate
        self.lost = 0
        self._admin = f"/admin/models/{quote(model, safe='')}"
        self._client = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=ANSWER_SECONDS,
            trust_env=False,
        )

    @classmethod
    def find(cls, state_file: Path, model: str, candidate: str) -> EmbeddedServer | None:
        """The running server that wrote `state_file`, if it serves `model`.

        None if there is none, or if it serves other models only: those are not this release's business.

        Raises:
            RolloutError: it runs, but does not answer or refuses: nobody knows what it serves.
            ServingError: it is of an older Linnet, which cannot tell models apart.
        """
        state = ServerState.read(state_file)
        if state is None:
            return None
        state.check_release()
        server = cls(state.url, state.token, model, candidate)
        try:
            served = server._is_served()
        except RolloutError as error:
            server.close()
            raise RolloutError(
                f"{error}; wait until it answers, or stop it with `linnet down`, and run this again"
            ) from error
        if served:
            return server
        server.close()
        return None

    def close(self) -> None:
        """Closes connections; the server goes on."""
        self._client.close()

    def routes(self) -> dict[str, Any]:
        """The routing table: champion, candidate, percent, mirror, and what is loaded."""
        return self._ask("GET", f"{self._admin}/routes")

    def champion(self) -> str | None:
        """The version that answers by default; None if that is the candidate itself (first release)."""
        champion = self.routes()["champion"]
        return None if champion == self._candidate else champion

    def load(self, version: str, package: Path) -> None:
        """Loads a package that lies on the server's machine. Raises LoadRefused."""
        body = {"package": str(package.resolve())}
        answer = self._send(
            "PUT", f"{self._admin}/versions/{quote(version, safe='')}", body, LOAD_ANSWER_SECONDS
        )
        if answer.is_error:
            raise LoadRefused(_problem(answer))

    def unload(self, version: str) -> None:
        """Forgets a version that has no traffic; one that is not loaded is no error."""
        answer = self._send("DELETE", f"{self._admin}/versions/{quote(version, safe='')}")
        if answer.is_error and answer.status_code != 404:
            raise RolloutError(f"version {version} cannot be unloaded: {_problem(answer)}")

    def route(self, candidate: str | None, percent: int, mirror: float) -> None:
        """Sets all four values of the routing table at once."""
        champion = self.routes()["champion"]
        if candidate == champion:  # a first release: the candidate is all there is
            candidate, percent, mirror = None, 0, 0.0
        table = {"champion": champion, "candidate": candidate, "percent": percent, "mirror": mirror}
        self._ask("PUT", f"{self._admin}/routes", table)

    def renew(self, candidate: str) -> bool:
        """Renews the candidate's lease; False if it ran out, or somebody took the share away."""
        answer = self._send("POST", f"{self._admin}/lease", {"candidate": candidate})
        if answer.is_error and answer.status_code != 409:
            raise RolloutError(f"the share of version {candidate} cannot be kept: {_problem(answer)}")
        return answer.is_success

    def promote(self, version: str) -> None:
        """Makes a version the champion; the one before stays loaded, so that a way back is short."""
        table = {"champion": version, "candidate": None, "percent": 0, "mirror": 0.0}
        self._ask("PUT", f"{self._admin}/routes", table)

    def records(self, after: int) -> tuple[int, list[ServedRecord]]:
        """See `TrafficTarget.records`."""
        found: list[ServedRecord] = []
        cursor = max(after, 0)
        while True:
            page = self._ask("GET", f"{self._admin}/records?after={cursor}")
            cursor = page["last"]
            if after >= 0:
                self.lost += int(page.get("lost", 0))
                found += self._own(_parse(page["records"]))
            if not page.get("more"):
                return cursor, found

    def _own(self, records: list[ServedRecord]) -> list[ServedRecord]:
        """The records, if all are of this model: no verdict ever rests on another one's answers."""
        others = {record.model for record in records} - {self._model, ""}
        if others:
            raise RolloutError(f"the server gave records of {', '.join(others)} for {self._model}")
        return records

    def _is_served(self) -> bool:
        """Whether the server serves the model at all."""
        answer = self._send("GET", f"{self._admin}/routes")
        if answer.is_error and answer.status_code != 404:
            raise RolloutError(f"the server at {self.url} refused to say what it serves: {_problem(answer)}")
        return answer.is_success

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = self._send(method, path, body)
        if answer.is_error:
            raise RolloutError(f"{method} {path} was refused: {_problem(answer)}")
        try:
            values: dict[str, Any] = answer.json()
        except ValueError as error:
            raise RolloutError(f"{method} {path}: the server did not answer in JSON") from error
        return values

    def _send(
        self, method: str, path: str, body: dict[str, Any] | None = None, seconds: float = ANSWER_SECONDS
    ) -> httpx.Response:
        try:
            return self._client.request(method, path, json=body, timeout=seconds)
        except httpx.HTTPError as error:
            raise RolloutError(f"the server at {self.url} does not answer: {error or type(error)}") from error


def give_back(server_state: Path, model: str, candidate: str) -> bool:
    """Takes a model's candidate its traffic away; False if no server serves it (then it has none).

    Raises:
        RolloutError: the server does not answer, so that the candidate may have its traffic still.
        ServingError: see `EmbeddedServer.find`.
    """
    server = EmbeddedServer.find(server_state, model, candidate)
    if server is None:
        return False
    try:
        if server.routes()["candidate"] == candidate:
            server.route(None, 0, 0.0)
        server.unload(candidate)
    finally:
        server.close()
    return True


def start_server(
    package: Path, model: str, version: str, serving: ServingConfig, folder: Path
) -> ServerProcess:
    """Starts a server for a release of `model`, on a free port of the loopback address; files in `folder`.

    Raises:
        LoadRefused: it ended before it listened; the message has its last words.
    """
    state_file = folder / "server.json"
    command = server_command(package, version, serving, state_file, folder / "log", model)
    command += ["--host", "127.0.0.1", "--port", "0", "--parent", str(os.getpid())]
    try:
        return ServerProcess(command, state_file, folder / "server.log")
    except ServingError as error:
        raise LoadRefused(f"the server did not start: {error}") from error


def _parse(values: Any) -> list[ServedRecord]:
    try:
        return _RECORDS.validate_python(values)
    except ValidationError as error:
        raise RolloutError(f"the server's records cannot be read: {error}") from error


def _problem(answer: httpx.Response) -> str:
    """What the server said is wrong."""
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code} {answer.text[:200]}"
