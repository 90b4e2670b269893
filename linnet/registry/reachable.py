"""Whether a remote MLflow answers, asked once for all that need it.

MLflow's own client tries a server that is down for about four minutes at every call. Where many wait for
it (pending runs, moves to settle, models of a metrics page), each would wait so, and hold up those of other
servers: one short probe decides for all of them, and is believed for a while.
"""

from __future__ import annotations

import ssl
import threading
import time

from linnet.errors import RegistryUnreachable
from linnet.storage.files import shown_url

PATIENCE_SECONDS = 240.0
"""For a step of a run, which has nothing else to do, as MLflow's own client has; no one else waits."""
_PROBE_SECONDS = 3.0
_UP_SECONDS, _DOWN_SECONDS = 5.0, 30.0
"""How long an answer of the probe is believed."""
_BETWEEN_SECONDS = 2.0
_DOWN_STATUS = (502, 503, 504)
"""What a proxy says for a server that is not there. Any other answer is one: MLflow says what is wrong."""

_lock = threading.Lock()
_believed: dict[str, tuple[float, str]] = {}
"""By URI: until when, on the monotonic clock, and why it is down; empty: it is up."""


def require_reachable(uri: str, patience: float = 0.0) -> None:
    """Comes back at once if the MLflow server at `uri` answers, or answered just now; no server: always.

    Args:
        uri: A tracking URI; only http and https name a server.
        patience: Seconds to wait for one that does not answer, unless it was waited for just now.

    Raises:
        RegistryUnreachable: it does not answer; within half a minute also without asking again.
    """
    if not uri.startswith(("http://", "https://")):
        return
    with _lock:
        until, problem = _believed.get(uri, (0.0, ""))
        if time.monotonic() >= until:
            problem = _probe_until(uri, time.monotonic() + patience)
            _believed[uri] = (time.monotonic() + (_DOWN_SECONDS if problem else _UP_SECONDS), problem)
    if problem:
        raise RegistryUnreachable(shown_url(uri), problem)


def forget(uri: str) -> None:
    """A call failed: the next one asks again whether the server is there."""
    with _lock:
        _believed.pop(uri, None)


def _probe_until(uri: str, until: float) -> str:
    while (problem := _probe(uri)) and time.monotonic() + _BETWEEN_SECONDS < until:
        time.sleep(_BETWEEN_SECONDS)
    return problem


def _probe(uri: str) -> str:
    """Why the server does not answer; empty: it does."""
    import httpx

    try:
        status = httpx.get(f"{uri.rstrip('/')}/health", timeout=_PROBE_SECONDS).status_code
    except httpx.TransportError as error:
        return "" if _speaks_tls(error) else str(error) or type(error).__name__
    except httpx.InvalidURL as error:
        return str(error)
    return f"HTTP {status}" if status in _DOWN_STATUS else ""


def _speaks_tls(error: BaseException | None) -> bool:
    """A certificate that is not trusted is a server that is there."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False
