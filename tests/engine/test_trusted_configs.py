"""Which config files the engine trusts, and what is told of those that it cannot read."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnet.config import broken_config_files, config_files


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with sound and broken configs, and one that cannot be listed (by root neither)."""
    monkeypatch.chdir(tmp_path)
    for place in ("sound", "broken", "deep/er"):
        (tmp_path / "srv" / place).mkdir(parents=True)
    (tmp_path / "srv/sound/faces.toml").write_text('name = "faces"\n')
    (tmp_path / "srv/broken/shop.toml").write_text('name = "shop"\n[service_levels\n')
    (tmp_path / "srv/deep/er/far.toml").write_text('name = "far"\n')
    (tmp_path / "srv/loop").symlink_to("loop")
    return tmp_path / "srv"


def test_trusted_config_that_is_broken_or_cannot_be_listed_is_told(trusted: Path) -> None:
    """A submission that it should have allowed was refused, and nobody said why."""
    more = (f"{trusted}/*/*.toml", "srv/sound/faces.toml", "srv/missing.toml", "srv/nowhere/*.toml")
    assert {one.name for one in config_files(more=more).values()} == {"faces"}
    broken, loop = sorted(broken_config_files(more=more))
    assert broken.startswith(f"{trusted}/broken/shop.toml: is not TOML")
    assert loop.startswith(f"{trusted}/loop: its configs cannot be listed: ")
    assert broken_config_files(more=more, model="faces") == [loop]


def test_pattern_of_trusted_configs_reaches_any_depth(trusted: Path) -> None:
    assert {one.name for one in config_files(more=["srv/**/*.toml"]).values()} == {"faces", "far"}
    assert len(broken_config_files(more=["srv/**/*.toml", "srv/b*/*.toml"])) == 1, "once"
