"""Who may call from where: pages of other sites may change nothing here, and names that may lie are refused.

A browser sends whatever a page asks it to send, to any port of the machine that it runs on; it says so in
`Origin` and `Sec-Fetch-Site`. A page whose name was pointed at this machine (DNS rebinding) is given away by
`Host`. Programs send neither `Origin` nor a foreign `Host`.
"""

from __future__ import annotations

import ipaddress
import socket

from linnet.config import ServingConfig
from linnet.errors import RequestRejected

_READING = ("GET", "HEAD")


class Callers:
    """Checks where a request comes from, by its headers."""

    def __init__(self, config: ServingConfig) -> None:
        self._origins = frozenset(config.origins)
        self._hosts = {"localhost", config.host.lower(), socket.gethostname().lower(), *config.hosts}
        self._any_host = not (config.hosts or _is_loopback(config.host))

    def check_origin(self, method: str, headers: dict[str, str]) -> None:
        """Whether a request other than for reading comes from a page that may send it, or from a program.

        Raises:
            RequestRejected: 403.
        """
        if method in _READING:
            return
        origin = headers.get("origin")
        if origin in self._origins:
            return
        if origin is not None or headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise RequestRejected(
                403, f"pages of {origin or 'another site'} may not call this server (serving.origins)"
            )

    def check_host(self, headers: dict[str, str]) -> None:
        """Whether a request that changes something was sent to an address or a name of this server.

        Raises:
            RequestRejected: 421.
        """
        host = headers.get("host", "")
        name = (
            host[1:].partition("]:")[0].removesuffix("]") if host.startswith("[") else host.partition(":")[0]
        )
        if self._any_host or not host or name.lower() in self._hosts or _is_address(name):
            return
        raise RequestRejected(
            421, f"this server is not called {name!r:.80}: add it to serving.hosts if it is"
        )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)
