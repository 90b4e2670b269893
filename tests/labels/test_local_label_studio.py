"""Installing Label Studio where it cannot be had: one message, with what pip said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from linnet.errors import LabelServerError
from linnet.labels import local_label_studio


@pytest.mark.proof
def test_install_falls_back_to_pip_and_says_what_that_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = tmp_path / "venv"
    steps = list(local_label_studio._installers(environment))
    assert [words[0].rpartition("/")[2] for words in (steps[0][-1], steps[-1][-1])] == ["uv", "pip"]
    cut_off = {"UV_OFFLINE": "1", "UV_CACHE_DIR": str(tmp_path / "cache")}
    cut_off |= {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": str(tmp_path)}
    for name, value in cut_off.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(LabelServerError, match=r"cannot be installed: ERROR: .*label-studio") as caught:
        local_label_studio.install(environment)
    assert caught.value.transient and "labels.server" in str(caught.value)
    assert (environment / "bin" / "pip").exists(), "pip was tried after uv"
    assert not list(environment.glob(".label-studio-*"))
