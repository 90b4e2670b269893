"""Who may see the console and who may act: login tokens, a signed cookie, and the checks of every request.

The cookie is HttpOnly and SameSite=Strict, so no other site's page can use it; Host and Origin are
checked as well, because a name that points to 127.0.0.1 makes another site look like this one (DNS
rebinding), and because browsers let any page open a websocket.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from linnet.storage.files import replacing

Role = Literal["viewer", "operator"]
COOKIE = "linnet_console"
SESSION_SECONDS = 12 * 3600
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class ConsoleAccess:
    """The tokens that open the console, one a role, and the key that signs its cookies."""

    viewer: str = field(repr=False)
    operator: str = field(repr=False)
    key: str = field(repr=False)
    clock: Callable[[], float] = time.time

    @classmethod
    def of(cls, path: Path) -> ConsoleAccess:
        """The tokens in the file `path`, which is made if there is none; only its owner can read it."""
        try:
            values = json.loads(path.read_bytes())
            return cls(values["viewer"], values["operator"], values["key"])
        except (OSError, ValueError, KeyError, TypeError):
            fresh = {name: secrets.token_urlsafe(24) for name in ("viewer", "operator", "key")}
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as scratch:
            descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump(fresh, file)
        return cls(fresh["viewer"], fresh["operator"], fresh["key"])

    def role_of_token(self, token: str) -> Role | None:
        """The role that a login token opens."""
        roles: tuple[tuple[Role, str], ...] = (("operator", self.operator), ("viewer", self.viewer))
        found = [role for role, known in roles if hmac.compare_digest(known.encode(), token.encode())]
        return found[0] if found else None

    def cookie(self, role: Role) -> str:
        """A signed cookie for a role: role, end, signature."""
        body = f"{role}.{int(self.clock()) + SESSION_SECONDS}"
        return f"{body}.{self._sign(body)}"

    def role_of_cookie(self, cookie: str) -> Role | None:
        """The role that a cookie carries; None if it was not signed here, or is too old."""
        body, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(self._sign(body).encode(), signature.encode()):
            return None
        role, _, end = body.partition(".")
        if int(end) < self.clock():
            return None
        return "operator" if role == "operator" else "viewer"

    def _sign(self, body: str) -> str:
        return hmac.new(self.key.encode(), body.encode(), hashlib.sha256).hexdigest()


def host_of(authority: str) -> str:
    """The host name in `host:port` or `[v6]:port`, in lower case."""
    return (urlsplit(f"//{authority}").hostname or "").lower()


def refusal(host: str, origin: str | None, method: str, websocket: bool, hosts: frozenset[str]) -> str:
    """Why a request is refused for where it comes from; empty: it is not.

    `hosts`: the names under which the console may be reached; a request that can change something, and
    every websocket, must come from a page of the very same host and port.
    """
    if host_of(host) not in hosts:
        return f"the console is not served as {host[:100]!r}"
    if not websocket and method in ("GET", "HEAD", "OPTIONS"):
        return ""
    if origin is None:  # no browser sends such a request without one
        return "the request names no Origin"
    if urlsplit(origin).netloc.lower() != host.lower():
        return f"the request comes from another site, {origin[:100]!r}"
    return ""
