"""What an importer brings is all that lies at its address."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from linnet.errors import RunError
from linnet.runner import remote


def test_folder_that_cannot_be_listed_is_an_error_and_no_half_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was left out without a word, and the rest was kept as what lies there."""
    monkeypatch.setenv("LINNET_HOME", str(tmp_path))
    system = MemoryFileSystem()
    for name in ("model/a.txt", "model/closed/b.txt", "model/open/c.txt"):
        system.pipe(f"/half-import/{name}", b"x")
    listed = MemoryFileSystem.ls

    def refuse(asked: Any, path: str, detail: bool = True, **more: Any) -> Any:
        if path.rstrip("/").endswith("closed"):
            raise PermissionError(path)
        return listed(asked, path, detail=detail, **more)

    monkeypatch.setattr(MemoryFileSystem, "ls", refuse)
    with pytest.raises(RunError, match="cannot be fetched: PermissionError"):
        remote.fetch("memory://half-import/model", "off")
    monkeypatch.setattr(MemoryFileSystem, "ls", listed)
    brought = remote.fetch("memory://half-import/model", "off")
    assert sorted(file.name for file in brought.rglob("*.txt")) == ["a.txt", "b.txt", "c.txt"]
