"""Which user is at the other end of a TCP connection on this machine.

Linux tells the owner of every socket of this network namespace (proc_net_tcp(5), read also by identd); so
a loopback port knows its callers as a Unix socket does by SO_PEERCRED, and clients need not be changed.
"""

from __future__ import annotations

import ipaddress
import struct
from pathlib import Path

Address = tuple[str, int]
_ESTABLISHED = "01"
"""The only state in which the table's user is the socket's: an orphan or a remnant is shown as root's."""
_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


def user_of(peer: Address, here: Address) -> int | None:
    """The user id of whoever holds the other end of a connection.

    Args:
        peer: address and port of the other end.
        here: address and port of this end.

    Returns:
        None where it cannot be known: another machine's, a connection that is closing, no Linux.
    """
    try:
        wanted = {(_hex(peer, wide), _hex(here, wide)) for wide in (False, True)}
    except ValueError:
        return None
    for table in _TABLES:
        try:
            rows = table.read_text("ascii").splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            fields = row.split(maxsplit=8)
            if (fields[1], fields[2]) in wanted and fields[3] == _ESTABLISHED:
                return int(fields[7])
    return None


def _hex(address: Address, wide: bool) -> str:
    """An address as the table writes it: words of 32 bits in the machine's own order.

    `wide`: as in the table of IPv6, where a socket of both kinds shows an IPv4 address as ::ffff:a.b.c.d.
    """
    ip = ipaddress.ip_address(address[0])
    packed = ip.packed
    if wide and ip.version == 4:
        packed = ipaddress.IPv6Address(f"::ffff:{ip}").packed
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return "".join(f"{word:08X}" for word in words) + f":{address[1]:04X}"
