"""Who may see the console and who may act: login tokens, a signed cookie, and the checks of every request.

The cookie is HttpOnly and SameSite=Strict, so no other site's page can use it; Host and Origin are
checked as well, because a name that points to 127.0.0.1 makes another site look like this one (DNS
rebinding), and because browsers let any page open a websocket.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from linnet.console.sessions import EndedSessions, Role, Session
from linnet.errors import StorageError
from linnet.storage.secret_file import secret_in

COOKIE = "linnet_console"
"""With the port after it, as cookies know none: two consoles of one machine do not log each other out."""
SECURE_COOKIE = "__Host-linnet_console"
"""Behind TLS: a browser takes it from this very host only, and sends it nowhere else."""
SESSION_SECONDS = 12 * 3600
_OWN_PATH = re.compile(r"/(?![/\\])[^\x00-\x20\x7f\\]*")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class ConsoleAccess:
    """The tokens that open the console, one a role, and the key that signs its cookies."""

    viewer: str = field(repr=False)
    operator: str = field(repr=False)
    key: str = field(repr=False)
    clock: Callable[[], float] = time.time
    ended: EndedSessions = field(default_factory=EndedSessions, repr=False, compare=False)

    @classmethod
    def of(cls, path: Path) -> ConsoleAccess:
        """The tokens in the file `path`, which is made if there is none; only its owner can read it.

        Raises:
            StorageError: others may read or have written it, or it is torn.
        """
        made = {name: secrets.token_urlsafe(24) for name in ("viewer", "operator", "key")}
        try:
            values = json.loads(secret_in(path, lambda: json.dumps(made)))
            viewer, operator, key = (str(values[name]) for name in made)
        except (ValueError, KeyError, TypeError) as error:
            remedy = "delete it, and start the console again: new tokens are made"
            raise StorageError(f"{path}: holds no tokens of the console; {remedy}") from error
        ended = EndedSessions(path.with_name("ended-sessions.json"))
        return cls(viewer, operator, key, ended=ended)

    def role_of_token(self, token: str) -> Role | None:
        """The role that a login token opens."""
        roles: tuple[tuple[Role, str], ...] = (("operator", self.operator), ("viewer", self.viewer))
        found = [role for role, known in roles if hmac.compare_digest(known.encode(), token.encode())]
        return found[0] if found else None

    def cookie(self, role: Role) -> str:
        """A signed cookie of a new session for a role: role, end, id, signature."""
        body = f"{role}.{int(self.clock()) + SESSION_SECONDS}.{secrets.token_hex(12)}"
        return f"{body}.{self._sign(body)}"

    def session_of(self, cookie: str) -> Session | None:
        """The session that a cookie carries; None if it was not signed here, or is over."""
        body, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(self._sign(body).encode(), signature.encode()):
            return None
        match body.split("."):
            case [("viewer" | "operator") as role, end, identity] if end.isdigit():
                session = Session(role, int(end), identity)
                return None if self.is_over(session) else session
        return None  # an older Linnet's

    def is_over(self, session: Session) -> bool:
        """Whether a session was logged out, or has lasted its time."""
        return self.ended.holds(session) or session.end < self.clock()

    def role_of_cookie(self, cookie: str) -> Role | None:
        """The role that a cookie carries; None if it opens nothing."""
        session = self.session_of(cookie)
        return session.role if session else None

    def _sign(self, body: str) -> str:
        return hmac.new(self.key.encode(), body.encode(), hashlib.sha256).hexdigest()


def cookie_name(host: str, secure: bool) -> str:
    """The name of the cookie of a console that is reached at `host`, such as 127.0.0.1:8080."""
    port = host_port(host)
    return SECURE_COOKIE if secure else f"{COOKIE}_{port}" if port else COOKIE


def host_port(authority: str) -> int | None:
    """The port in `host:port`; None: there is none, or no number."""
    try:
        return urlsplit(f"//{authority}").port
    except ValueError:
        return None


def target_of(wanted: str) -> str:
    """Where a login leads: the path of our own that was wanted, or the start.

    Browsers drop tabs and line ends in an address, and read `\\` as `/`: such a one could name another host.
    """
    return wanted if _OWN_PATH.fullmatch(wanted) else "/"


def host_of(authority: str) -> str:
    """The host name in `host:port` or `[v6]:port`, in lower case."""
    try:
        return (urlsplit(f"//{authority}").hostname or "").lower()
    except ValueError:
        return ""


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
