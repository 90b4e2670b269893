"""A store that several machines share behind their own: S3, or whatever else keeps objects by name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from linnet.errors import StorageError
from linnet.storage.files import replacing, shown_url

_Answer = TypeVar("_Answer")


class Shared(Protocol):
    """Objects by name. Every call may raise StorageError; the cache then works without it."""

    def read(self, name: str) -> bytes | None:
        """A small object; None if there is none."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Stores a small object, whole or not at all."""
        ...

    def size(self, name: str) -> int | None:
        """Bytes of an object; None if there is none."""
        ...

    def download(self, name: str, target: Path) -> bool:
        """Writes an object to a file; False if there is none."""
        ...

    def upload(self, name: str, source: Path) -> None:
        """Stores a file as an object, whole or not at all."""
        ...

    def remove(self, name: str) -> None:
        """Removes an object; one that is not there is no error."""
        ...

    def names(self, prefix: str) -> list[str]:
        """Names of all objects below a prefix that ends in `/`."""
        ...


class FolderObjects:
    """Objects in a folder, such as a mounted share."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, name: str) -> bytes | None:
        """See `Shared.read`."""
        path = self.root / name
        return path.read_bytes() if path.is_file() else None

    def write(self, name: str, content: bytes) -> None:
        """See `Shared.write`."""
        with replacing(self.root / name) as path:
            path.write_bytes(content)

    def size(self, name: str) -> int | None:
        """See `Shared.size`."""
        path = self.root / name
        return path.stat().st_size if path.is_file() else None

    def download(self, name: str, target: Path) -> bool:
        """See `Shared.download`."""
        try:
            shutil.copyfile(self.root / name, target)
        except FileNotFoundError:
            return False
        return True

    def upload(self, name: str, source: Path) -> None:
        """See `Shared.upload`."""
        with replacing(self.root / name) as path:
            shutil.copyfile(source, path)

    def remove(self, name: str) -> None:
        """See `Shared.remove`."""
        (self.root / name).unlink(missing_ok=True)

    def names(self, prefix: str) -> list[str]:
        """See `Shared.names`."""
        found = (self.root / prefix).rglob("*")
        return sorted(p.relative_to(self.root).as_posix() for p in found if p.is_file())


class ObjectStore:
    """Fulfils `Shared` by obstore: s3://, gs:// or az:// with a bucket and a prefix.

    Credentials and endpoint come from the environment (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, ...).
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._store: Any = None

    def read(self, name: str) -> bytes | None:
        """See `Shared.read`."""
        return self._ask(lambda store: bytes(store.get(name).bytes()), None)

    def write(self, name: str, content: bytes) -> None:
        """See `Shared.write`."""
        self._ask(lambda store: store.put(name, content), None)

    def size(self, name: str) -> int | None:
        """See `Shared.size`."""
        return self._ask(lambda store: int(store.head(name)["size"]), None)

    def download(self, name: str, target: Path) -> bool:
        """See `Shared.download`."""

        def fetch(store: Any) -> bool:
            chunks = store.get(name).stream()
            with target.open("wb") as file:
                for chunk in chunks:
                    file.write(chunk)
            return True

        return self._ask(fetch, False)

    def upload(self, name: str, source: Path) -> None:
        """See `Shared.upload`."""
        self._ask(lambda store: store.put(name, source), None)

    def remove(self, name: str) -> None:
        """See `Shared.remove`."""
        self._ask(lambda store: store.delete(name), None)

    def names(self, prefix: str) -> list[str]:
        """See `Shared.names`."""
        listed = self._ask(lambda store: [item["path"] for page in store.list(prefix) for item in page], None)
        return sorted(listed or [])

    def _ask(self, call: Callable[[Any], _Answer], absent: _Answer) -> _Answer:
        """What the call gives; `absent` where the object is not there.

        Raises:
            StorageError: the store cannot be reached, or refuses.
        """
        try:
            return call(self._client)
        except FileNotFoundError:
            return absent
        except StorageError:
            raise
        except Exception as error:  # the Rust library raises many kinds
            why = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
            raise StorageError(f"the shared cache {shown_url(self.url)} cannot be used: {why}") from error

    @property
    def _client(self) -> Any:
        if self._store is None:
            try:
                from obstore.store import from_url
            except ImportError as error:
                raise StorageError(
                    f"{shown_url(self.url)}: needs the package obstore: pip install 'linnet[pipeline]'"
                ) from error
            self._store = from_url(self.url)
        return self._store
