"""API keys: made, listed and revoked in one file that holds their digests and never the keys.

A key is `lk_<id>_<secret>` with 256 random bits of secret, so a plain SHA-256 keeps it safe at rest:
what makes slow hashes necessary is that people's passwords can be guessed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from linnet.errors import ServingError
from linnet.records.record import Record
from linnet.serving.shared import MAX_KEYS
from linnet.storage.files import write_text
from linnet.storage.locks import file_lock

Scope = Literal["infer", "admin"]


class ApiKey(Record):
    """What is kept of a key."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    rate: float | None
    """Requests a second that it may send, over all workers; None: as many as it likes."""
    models: tuple[str, ...] = ()
    """Names of the models that it is for; empty: all."""
    digest: str
    """SHA-256 of the whole key, in hexadecimal."""
    created_at: datetime
    revoked_at: datetime | None = None


class KeyFile:
    """The file of keys at `path`; one that is not there holds none."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[ApiKey]:
        """Every key, revoked ones included, in the order in which they were made.

        Raises:
            ServingError: the file cannot be read.
        """
        try:
            entries = json.loads(self.path.read_bytes())
            if not isinstance(entries, list):
                raise ValueError("it is not a list of keys")
            return [ApiKey.model_validate(entry) for entry in entries]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, RecursionError) as error:
            raise ServingError(f"{self.path}: the API keys cannot be read ({error})") from error

    def create(
        self,
        name: str,
        scopes: tuple[Scope, ...],
        rate: float | None = None,
        models: tuple[str, ...] = (),
    ) -> tuple[ApiKey, str]:
        """A new key: what is kept, and the key itself, which nobody can see again.

        Raises:
            ServingError: there are as many keys as a server takes.
        """
        with self._changing():
            known = self.read()
            if len(known) >= MAX_KEYS:
                raise ServingError(
                    f"{self.path}: has {MAX_KEYS} keys already; remove revoked ones from the file"
                )
            taken = {key.id for key in known}
            number = next(one for one in iter(lambda: secrets.token_hex(4), "") if one not in taken)
            secret = f"lk_{number}_{secrets.token_urlsafe(32)}"
            key = ApiKey(
                id=number, name=name, scopes=scopes, rate=rate, models=models, digest=_digest(secret),
                created_at=datetime.now(UTC),
            )  # fmt: skip
            self._write([*known, key])
        return key, secret

    def revoke(self, number: str) -> ApiKey:
        """Takes a key's rights away; a running server notices within a second.

        Raises:
            ServingError: there is no such key.
        """
        with self._changing():
            known = self.read()
            found = [key for key in known if key.id == number]
            if not found:
                raise ServingError(f"there is no API key {number!r}: `linnet keys list` shows them")
            revoked = found[0].model_copy(update={"revoked_at": found[0].revoked_at or datetime.now(UTC)})
            self._write([revoked if key.id == number else key for key in known])
        return revoked

    def _write(self, keys: list[ApiKey]) -> None:
        values: list[Any] = [key.model_dump(mode="json") for key in keys]
        write_text(self.path, json.dumps(values, indent=1) + "\n")
        self.path.chmod(0o600)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with file_lock(self.path.with_suffix(".lock")):
            yield


def find(keys: list[ApiKey], secret: str) -> tuple[int, ApiKey] | None:
    """The key that `secret` is, with its place in the file; None if it is none, or revoked."""
    number = secret.split("_")[1] if secret.count("_") >= 2 else ""
    for place, key in enumerate(keys):
        if key.id == number and key.revoked_at is None and hmac.compare_digest(key.digest, _digest(secret)):
            return place, key
    return None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
