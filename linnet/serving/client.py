"""A small client of the server: predictions and admin calls over http.client, for CLI and releases."""

from __future__ import annotations

import http.client
import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlsplit

from linnet.config import ServingConfig
from linnet.errors import RequestRejected, ServingError
from linnet.process.model_server import ServerState
from linnet.records import ServedRecord


@dataclass(frozen=True, slots=True)
class RecordPage:
    """Served records since a sequence number; ask for `last` next. `lost` fell out of the ring."""

    last: int
    lost: int
    more: bool
    records: tuple[ServedRecord, ...]


class _Connection(http.client.HTTPConnection):
    """Closes itself when it is dropped, as when the thread that it belongs to ends."""

    def __del__(self) -> None:
        self.close()


class ServerClient:
    """Talks to one server; keeps one connection a thread. Closing it is optional."""

    def __init__(self, url: str, token: str | None = None, timeout: float = 30.0, model: str = "") -> None:
        """`model`: whom to ask; empty: the only one. Admin calls need it. `timeout`: seconds an answer."""
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self.url, self._token, self._timeout = url, token, timeout
        self.model = model
        self._local = threading.local()

    @classmethod
    def from_state(cls, path: Path, timeout: float = 30.0, model: str = "") -> Self:
        """A client of the server that wrote the state file.

        Raises:
            ServingError: no server runs there, or one of an older Linnet.
        """
        state = ServerState.read(path)
        if state is None:
            raise ServingError("no server is running: start it with `linnet up`")
        state.check_release()
        return cls(state.url, state.token, timeout, model)

    def predict(
        self, image: Path | bytes, key: str | None = None, request_id: str | None = None
    ) -> dict[str, Any]:
        """The answer of POST /predict for an image file or its bytes.

        Raises:
            RequestRejected: the server refused the request or failed on it; with the status.
            ServingError: the file cannot be read, or the server cannot be reached.
        """
        if isinstance(image, Path):
            path = image
            try:
                image = path.read_bytes()
            except OSError as error:
                raise ServingError(f"{path}: cannot be read ({error.strerror})") from error
        headers = {"Content-Type": "application/octet-stream"}
        if key is not None:
            headers["Linnet-Key"] = key
        if request_id is not None:
            headers["Linnet-Request-Id"] = request_id
        answer: dict[str, Any] = self._json("POST", self._predict_path, image, headers)
        return answer

    def models(self) -> list[str]:
        """Names of the models that the server serves."""
        return sorted({str(entry["name"]) for entry in self._json("GET", "/v2/models")})

    def open_model(
        self, name: str, version: str, package: Path, settings: ServingConfig | None = None
    ) -> None:
        """Has the server serve another model, with `version` as its champion; `settings`: limits of its own.

        Raises:
            RequestRejected: 409, it is served already; 422, the package cannot be served.
        """
        values: dict[str, Any] = {"package": str(package.resolve()), "version": version}
        if settings is not None:
            values["config"] = settings.model_dump(mode="json")
        self._json("PUT", f"/admin/models/{quote(name, safe='')}", json.dumps(values).encode())

    def ready(self) -> bool:
        """Whether the server says that it is ready; False if it cannot be reached."""
        try:
            return self.request("GET", "/v2/health/ready")[0] == 200
        except ServingError:
            return False

    def metadata(self, name: str) -> dict[str, Any]:
        """The protocol's metadata of the model `name`."""
        answer: dict[str, Any] = self._json("GET", f"/v2/models/{quote(name, safe='')}")
        return answer

    def metrics(self) -> str:
        """Prometheus text."""
        return self.request("GET", "/metrics")[2].decode()

    def routes(self) -> dict[str, Any]:
        """champion, candidate, percent, mirror, and the loaded versions."""
        answer: dict[str, Any] = self._json("GET", self._admin("routes"))
        return answer

    def set_routes(
        self,
        champion: str | None,
        candidate: str | None = None,
        percent: float = 0,
        mirror: float = 0,
        lease_seconds: float | None = None,
    ) -> dict[str, Any]:
        """Puts a routing table in force, atomically; returns `routes()`.

        A candidate beside a champion keeps its share for `lease_seconds` (None: as the server is set), or
        until `renew` begins that time anew.
        """
        table: dict[str, Any] = {
            "champion": champion, "candidate": candidate, "percent": percent, "mirror": mirror,
        }  # fmt: skip
        if lease_seconds is not None:
            table["lease_seconds"] = lease_seconds
        answer: dict[str, Any] = self._json("PUT", self._admin("routes"), json.dumps(table).encode())
        return answer

    def renew(self, candidate: str) -> float:
        """Keeps a candidate's share; returns the seconds until that must be said again.

        Raises:
            RequestRejected: 409, it has none.
        """
        answer = self._json("POST", self._admin("lease"), json.dumps({"candidate": candidate}).encode())
        return float(answer["lease_seconds"])

    def load(self, version: str, package: Path) -> None:
        """Loads a version beside those that serve.

        Raises:
            RequestRejected: 422, the package cannot be served; the message says why.
        """
        body = json.dumps({"package": str(package.resolve())}).encode()
        self._json("PUT", self._admin(f"versions/{quote(version, safe='')}"), body)

    def unload(self, version: str) -> None:
        """Unloads a version that is not routed."""
        self._json("DELETE", self._admin(f"versions/{quote(version, safe='')}"))

    def records(self, after: int = 0) -> RecordPage:
        """Served records after a sequence number."""
        page = self._json("GET", self._admin(f"records?after={after}"))
        records = tuple(ServedRecord.model_validate(record) for record in page["records"])
        return RecordPage(page["last"], page["lost"], page["more"], records)

    def request(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (lower-case names) and body of one request, whatever the status.

        A connection that the server closed while it was idle is opened again, once.

        Raises:
            ServingError: the server cannot be reached, or broke off.
        """
        sent = dict(headers or {})
        if path.startswith("/admin") and self._token is not None:
            sent["Authorization"] = f"Bearer {self._token}"
        for attempt in (1, 2):
            fresh = getattr(self._local, "connection", None) is None
            try:
                connection = self._connection()
                connection.request(method, path, body, sent)
                answer = connection.getresponse()
                content = answer.read()
                if answer.will_close:
                    self.close()
                return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as error:
                self.close()
                if fresh or attempt == 2:
                    raise ServingError(f"the server at {self.url} closed the connection") from error
            except (OSError, http.client.HTTPException) as error:
                self.close()
                raise ServingError(
                    f"the server at {self.url} cannot be reached ({error}): start it with `linnet up`"
                ) from error
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Closes this thread's connection."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    @property
    def _predict_path(self) -> str:
        return f"/predict/{quote(self.model, safe='')}" if self.model else "/predict"

    def _admin(self, path: str) -> str:
        if not self.model:
            raise ServingError("an admin call must name the model that it is about")
        return f"/admin/models/{quote(self.model, safe='')}/{path}"

    def _connection(self) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = _Connection(self._host, self._port, timeout=self._timeout)
            self._local.connection = connection
        return connection

    def _json(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Any:
        status, _, content = self.request(method, path, body, headers)
        try:
            answer = json.loads(content)
        except ValueError as error:
            raise ServingError(f"{self.url}{path} did not answer JSON: is that a Linnet server?") from error
        if status >= 400:
            raise RequestRejected(status, str(answer.get("error", f"status {status}")))
        return answer
