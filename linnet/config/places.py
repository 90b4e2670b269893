"""Settings that reach out of a run: they name files, addresses, credentials or code.

A run reads what they name with its owner's rights, and sends it where they say. So only the owner may
choose them freely. Everybody else may take what a config of the owner's names already, and what belongs
together there (an address and its credentials) together: a token never goes to another config's server.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator

from linnet.config.error_messages import tables
from linnet.config.section import Section

_METADATA = {"metadata", "metadata.google.internal", "instance-data"}
_METADATA_ADDRESSES = {ipaddress.ip_address("100.100.100.200"), ipaddress.ip_address("fd00:ec2::254")}


@dataclass(frozen=True)
class Reach:
    """What a setting's value names."""

    kind: Literal["file", "address", "credential", "code"]

    @property
    def alone(self) -> bool:
        """Whether a value may be taken from a config without what stands beside it there."""
        return self.kind == "file"


def is_metadata(address: str) -> bool:
    """Whether an address is a cloud's metadata service, which hands out the machine's own credentials."""
    try:
        host = (urlsplit(address if "//" in address else f"//{address}").hostname or "").rstrip(".")
    except ValueError:
        return False
    if host in _METADATA:
        return True
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        try:
            found = ipaddress.ip_address(socket.inet_aton(host))  # 2852039166, 0xa9fea9fe, 0251.254.43518
        except OSError:
            return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return found.is_link_local or found in _METADATA_ADDRESSES


def _no_metadata(address: str) -> str:
    if is_metadata(address):
        raise ValueError("is the address of a cloud's metadata service, which no setting may name")
    return address


File = Annotated[str, Reach("file")]
FileOrAddress = Annotated[str, Reach("file"), AfterValidator(_no_metadata)]
Address = Annotated[str, Reach("address"), AfterValidator(_no_metadata)]
Addresses = Annotated[tuple[str, ...], Reach("address")]
Credential = Annotated[str, Reach("credential")]
Code = Annotated[str, Reach("code")]


def places(section: Section, above: str = "") -> Iterator[tuple[str, Reach, Any]]:
    """The settings of a section that reach out: `field` (or `table.field`), what it names, its value."""
    inner = tables(type(section))
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if name in inner:
            yield from places(value, f"{above}{name}.")
        for mark in field.metadata:
            if isinstance(mark, Reach):
                yield above + name, mark, value


def foreign_place(given: Section, known: Iterable[Section]) -> str:
    """The first setting of a section that reaches where no known section of its kind does; empty: none.

    Files are compared one by one. Addresses, credentials and code must all be those of one known section,
    or all be the defaults.
    """
    known = [type(given)(), *known]
    bound = {name: value for name, mark, value in places(given) if not mark.alone}
    groups = [{name: value for name, mark, value in places(one) if not mark.alone} for one in known]
    if bound not in groups:
        near = max(groups, key=lambda group: sum(group[name] == value for name, value in bound.items()))
        return next(name for name, value in bound.items() if near[name] != value)
    files = {(name, value) for one in known for name, mark, value in places(one) if mark.alone}
    single = [(name, value) for name, mark, value in places(given) if mark.alone]
    return next((name for name, value in single if (name, value) not in files), "")


def foreign_places(given: dict[str, Section], known: Iterable[dict[str, Section]]) -> str:
    """The same for sections by their names: `section.field`, or nothing."""
    configs = list(known)
    for name, section in given.items():
        if field := foreign_place(section, [config[name] for config in configs if name in config]):
            return f"{name}.{field}"
    return ""


def place_value(sections: dict[str, Section], key: str) -> Any:
    """The value at `section.field` or `section.table.field`."""
    name, *fields = key.split(".")
    value: Any = sections[name]
    for field in fields:
        value = getattr(value, field)
    return value
