"""Who may ask what: the admin token, API keys with their scopes, and a budget a key."""

from __future__ import annotations

import hmac
import logging
import math
import time
from pathlib import Path

from linnet.errors import RequestRejected, ServingError
from linnet.serving.keys import ApiKey, KeyFile, Scope, find
from linnet.serving.shared import SharedPage

logger = logging.getLogger(__name__)
FRESH_SECONDS = 1.0
"""The file of keys is looked at this often."""


class AccessControl:
    """Admits requests, or says why not."""

    def __init__(self, token: str, keys: Path | None, required: bool, page: SharedPage) -> None:
        """`token` opens everything; `required`: inference needs a key too, and not only admin routes."""
        self._token = f"Bearer {token}".encode()
        self._file = KeyFile(keys) if keys is not None else None
        self._required, self._page = required, page
        self._keys: list[ApiKey] = []
        self._unreadable = ""
        self._stamp: tuple[int, ...] | None = None
        self._looked = -math.inf

    def admit(
        self, headers: dict[str, str], scope: Scope, model: str | None = None, *, required: bool = False
    ) -> None:
        """Whether a request with these headers may use routes of `scope`, of `model` (None: of no one).

        `required`: the model asks for a key, whatever the server as a whole does.

        Raises:
            RequestRejected: 401, no key or a wrong one; 403, a key without the scope, or for other models;
                429, its budget is spent; 503, the file of keys cannot be read, so that nobody knows which
                were revoked.
        """
        given = headers.get("authorization", "")
        if scope == "infer" and not (self._required or required) and not given.startswith("Bearer lk_"):
            return
        if hmac.compare_digest(given.encode("latin-1", "replace"), self._token):
            return
        found = find(self._known(), given.removeprefix("Bearer ")) if given.startswith("Bearer ") else None
        if found is None:
            what = "the token of the state file, or an API key with the scope admin"
            what = what if scope == "admin" else "an API key (`linnet keys create`)"
            raise RequestRejected(401, f"Authorization: Bearer with {what} is needed")
        place, key = found
        if scope not in key.scopes:
            raise RequestRejected(403, f"this API key has not the scope {scope}")
        if key.models and model not in key.models and (model is not None or scope == "admin"):
            raise RequestRejected(403, f"this API key is for {', '.join(key.models)} only")
        if key.rate is not None and (wait := self._page.spend(place, key.rate, time.monotonic_ns())):
            problem = f"this API key may send {key.rate:g} requests a second; wait {wait / 1e9:.2g} seconds"
            raise RequestRejected(429, problem)

    def _known(self) -> list[ApiKey]:
        """The keys; read again when the file changed.

        While the file cannot be read no key opens anything: the list of before may hold a key that was
        revoked since. The token of the state file is not in that file, and stays good.

        Raises:
            RequestRejected: 503, it cannot be read.
        """
        now = time.monotonic()
        if self._file is not None and now - self._looked >= FRESH_SECONDS:
            self._looked = now
            self._read(self._file)
        if self._unreadable:
            raise RequestRejected(503, self._unreadable)
        return self._keys

    def _read(self, file: KeyFile) -> None:
        try:
            about = file.path.stat()
            stamp = (about.st_mtime_ns, about.st_ctime_ns, about.st_size, about.st_ino)
            if stamp != self._stamp:
                self._keys = file.read()
        except FileNotFoundError:
            self._keys, stamp = [], None
        except (OSError, ServingError) as error:
            logger.error("%s; until it can be read no API key is taken: restore the file", error)
            self._keys, self._stamp = [], None
            self._unreadable = (
                "the file of API keys cannot be read, so no key is taken; tell who runs the server"
            )
            return
        self._stamp, self._unreadable = stamp, ""
