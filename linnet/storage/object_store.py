"""Object stores (s3, gs, az) by obstore: with the credentials that the environment names, or as nobody.

Where none are named, the client on its own asks the metadata service of a cloud's virtual machine for them,
and fails where there is no such service. A public bucket asks for none: so nobody asks first, and the
machine's identity is tried only where that is refused. Beside it stands how any such system is listed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

_CREDENTIALS: Mapping[str, tuple[str, ...]] = {
    "s3": (
        "AWS_ACCESS_KEY_ID",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_SKIP_SIGNATURE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
    ),
    "gs": (
        "GOOGLE_APPLICATION_CREDENTIALS",
        "GOOGLE_BEARER_TOKEN",
        "GOOGLE_SERVICE_ACCOUNT",
        "GOOGLE_SERVICE_ACCOUNT_KEY",
        "GOOGLE_SERVICE_ACCOUNT_PATH",
        "GOOGLE_SKIP_SIGNATURE",
    ),
}
"""Variables that say who asks, by scheme. Azure's client needs the name of an account in any case."""
_USERS_FILE = {"gs": ".config/gcloud/application_default_credentials.json"}
"""What a cloud's own program leaves in the home folder, and obstore reads."""


def names_credentials(scheme: str) -> bool:
    """Whether environment or home folder say who asks; always, where nobody may ask."""
    variables = _CREDENTIALS.get(scheme)
    if variables is None or any(os.environ.get(name) for name in variables):
        return True
    return scheme in _USERS_FILE and (Path.home() / _USERS_FILE[scheme]).exists()


def file_systems(scheme: str) -> Iterator[Any]:
    """The file systems of fsspec to try for a scheme, in this order."""
    from obstore.fsspec import FsspecStore

    store: Any = FsspecStore
    # Not remembered by fsspec: the environment says where a store is, and may say another place later.
    options: dict[str, Any] = {"client_options": {"allow_http": True}, "skip_instance_cache": True}
    if not names_credentials(scheme):
        yield store(scheme, skip_signature=True, **options)
    yield store(scheme, **options)


def first_answer(scheme: str, ask: Callable[[Any], T]) -> tuple[Any, T]:
    """The file system that answers, and what it answers.

    Args:
        scheme: s3, gs, az or abfs.
        ask: called with a file system.

    Raises:
        PermissionError: it is not public, and the environment names no credentials.
        Exception: whatever else `ask` raises.
    """
    from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

    refused: Exception | None = None
    for system in file_systems(scheme):
        try:
            return system, ask(system)
        except (PermissionDeniedError, UnauthenticatedError) as error:
            if names_credentials(scheme):
                raise
            refused = error
        except FileNotFoundError:
            raise
        except Exception:
            if refused is None:
                raise
    raise PermissionError(
        f"it is not public, and no credentials are known here: set {_CREDENTIALS[scheme][0]}"
    ) from refused


def files_below(system: Any, folder: str) -> dict[str, dict[str, Any]]:
    """The files at any depth below a folder. Raises what the client does for a folder that cannot be listed.

    fsspec's own `find` leaves such a folder out without a word, and passes no other wish on to sub-folders.
    """
    found: dict[str, dict[str, Any]] = {}
    known, waiting = {folder.rstrip("/")}, [folder]
    while waiting:
        for info in system.ls(waiting.pop(), detail=True):
            name = str(info["name"])
            if info["type"] != "directory":
                found[name] = info
            elif name.rstrip("/") not in known:
                known.add(name.rstrip("/"))
                waiting.append(name)
    return found
