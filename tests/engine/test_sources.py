from __future__ import annotations

import os
from pathlib import Path

import pytest

from linnet.engine import sources


def test_an_edit_of_the_same_size_with_its_time_set_back_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "step.py"
    file.write_text("x = 1\n")
    monkeypatch.setattr(sources, "_ROOT", tmp_path)
    before, about = sources.signature(), file.stat()
    assert sources.signature() == before
    file.write_text("x = 2\n")
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert sources.signature() != before
