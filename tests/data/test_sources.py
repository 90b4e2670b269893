from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from linnet.data.digest import check_folder
from linnet.data.sources import DebianPackage, NoAnswer
from linnet.data.version import read_version

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.proof
@pytest.mark.skipif(not shutil.which("apt-get"), reason="there is no apt-get on this machine")
@pytest.mark.parametrize("lists", ["of the machine", "of our own"])
def test_debian_package_brings_fashion_mnist_without_root(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch, lists: str
) -> None:
    """Also where the machine's package lists were removed, as in a slim container."""
    if lists == "of our own":
        (tmp_path / "apt.conf").write_text(f'Dir::State::Lists "{tmp_path}/none";\n')
        monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    version = read_version(REPOSITORY / "data.dvc")
    target = tmp_path / "target"
    target.mkdir()
    try:
        DebianPackage().deliver(version, target, None)
    except NoAnswer as error:
        pytest.skip(f"the package archive cannot be reached: {error}")
    check_folder(target, version)
    assert (state / "apt").is_dir() == (lists == "of our own")
    assert [path.name for path in tmp_path.glob(".deb-*")] == []


@pytest.mark.skipif(not shutil.which("apt-get"), reason="there is no apt-get on this machine")
def test_debian_package_unknown_package_is_an_answer(
    tmp_path: Path, files: dict[str, bytes], write_dvc: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "apt.conf").write_text(
        f'Dir::State::Lists "{tmp_path}/none";\nDir::Etc::SourceList "/dev/null";\n'
        'Dir::Etc::SourceParts "/dev/null";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    version = read_version(write_dvc(tmp_path / "toy.dvc", files, debian_package="no-such-package-here"))
    with pytest.raises(NoAnswer, match="no-such-package-here"):
        DebianPackage().deliver(version, tmp_path, None)


def test_debian_package_without_apt_is_an_answer(
    tmp_path: Path, files: dict[str, bytes], write_dvc: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    version = read_version(write_dvc(tmp_path / "toy.dvc", files, debian_package="some"))
    with pytest.raises(NoAnswer, match="apt-get is not installed"):
        DebianPackage().deliver(version, tmp_path, None)
