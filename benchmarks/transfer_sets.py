"""Real picture sets for `benchmarks.transfer`, of about 900 to 3,200 pictures, from Debian packages.

clip art    openclipart-png: eight folders of subjects, from 66 to about 1,800 pictures (public domain)
icons       oxygen-, mate- and faenza-icon-theme: what an icon stands for, whatever the theme
textures    openarena-081-textures: of which kind of wall, floor or light a texture is
tiles       plasma-workspace-wallpapers, mate-backgrounds: which photograph a tile is cut from
"""

from __future__ import annotations

import subprocess
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from linnet.errors import LinnetError
from linnet.vision.decode import decode, resize

PACKAGES = (
    "openclipart-png", "oxygen-icon-theme", "mate-icon-theme", "faenza-icon-theme",
    "openarena-081-textures", "plasma-workspace-wallpapers", "mate-backgrounds",
)  # fmt: skip
SIDE = 224
_CLIP_ART = ("animals", "buildings", "computer", "food", "people", "plants", "tools", "transportation")
_THEMES = (
    "oxygen-icon-theme/usr/share/icons/oxygen/base/128x128/{}",
    "mate-icon-theme/usr/share/icons/mate/48x48/{}",
    "faenza-icon-theme/usr/share/icons/Faenza/{}/96",
)
_MEANINGS = (
    "actions", "apps", "categories", "devices", "emblems", "emotes", "mimetypes", "places", "status",
)  # fmt: skip
_LEAST = 20
"""Pictures that a class has at least."""
_TILE, _TILES = 320, 30
"""Side of a tile in pixels, and how many a photograph gives at most."""
_LARGEST = 1 << 28


@dataclass(frozen=True)
class PictureSet:
    """Pictures brought to the size that a network is fed."""

    name: str
    classes: tuple[str, ...]
    images: np.ndarray
    """uint8 [N, 224, 224, 3]"""
    labels: np.ndarray
    """int64 [N]"""
    unreadable: int
    """Files that are no image, which are left out."""


def fetch(folder: Path, packages: tuple[str, ...] = PACKAGES) -> None:
    """Unpacks the packages below `folder`, a sub-folder each; what is there is not fetched again."""
    folder.mkdir(parents=True, exist_ok=True)
    for package in packages:
        if (folder / package).is_dir():
            continue
        subprocess.run(["apt-get", "download", "-q", package], cwd=folder, check=True, capture_output=True)
        (archive,) = folder.glob(f"{package}_*.deb")
        subprocess.run(["dpkg", "-x", archive, folder / package], check=True)
        archive.unlink()
    textures = folder / "textures"
    if not textures.is_dir() and "openarena-081-textures" in packages:
        for archive in (folder / "openarena-081-textures").rglob("*.pk3"):  # a zip by another name
            with zipfile.ZipFile(archive) as packed:
                packed.extractall(textures)


def picture_sets(folder: Path, wanted: tuple[str, ...] = ()) -> Iterator[PictureSet]:
    """The sets, one after another; `wanted` names some of them."""
    makers = {"clip art": clip_art, "icons": _icons, "textures": _textures}
    for name, files in makers.items():
        if not wanted or name in wanted:
            yield _decoded(name, files(folder))
    if not wanted or "tiles" in wanted:
        yield _tiles(folder)


def clip_art(folder: Path) -> dict[str, list[Path]]:
    """Files by class, of packages that `fetch` unpacked."""
    root = folder / "openclipart-png/usr/share/openclipart/png"
    return {name: _images(root / name, "**/*.png") for name in _CLIP_ART}


def _icons(folder: Path) -> dict[str, list[Path]]:
    found = {
        meaning: [path for theme in _THEMES for path in _images(folder / theme.format(meaning), "*.png")]
        for meaning in _MEANINGS
    }
    return {name: icons for name, icons in found.items() if len(icons) >= 2 * _LEAST}


def _textures(folder: Path) -> dict[str, list[Path]]:
    kinds = sorted(path for path in (folder / "textures/textures").iterdir() if path.is_dir())
    found = {kind.name: _images(kind, "*.jpg") for kind in kinds}
    return {name: files for name, files in found.items() if len(files) >= _LEAST}


def _images(folder: Path, pattern: str) -> list[Path]:
    """The files that are no links to others."""
    return sorted(path for path in folder.glob(pattern) if path.is_file() and not path.is_symlink())


def _decoded(name: str, files: Mapping[str, list[Path]]) -> PictureSet:
    images, labels, unreadable = [], [], 0
    for label, paths in enumerate(files.values()):
        for path in paths:
            try:
                pixels = decode(path.read_bytes(), max_pixels=_LARGEST).pixels
            except LinnetError:
                unreadable += 1
                continue
            images.append(resize(pixels, SIDE, SIDE, "rgb", "crop"))
            labels.append(label)
    return PictureSet(name, tuple(files), np.stack(images), np.array(labels, np.int64), unreadable)


def _tiles(folder: Path) -> PictureSet:
    """Tiles that do not overlap, evenly spread over each photograph; the photograph is the class."""
    photographs = sorted((folder / "mate-backgrounds").rglob("nature/*.jpg"))
    wallpapers = (folder / "plasma-workspace-wallpapers").rglob("contents/images/*.*")
    photographs += sorted(path for path in wallpapers if int(path.stem.split("x")[0]) >= 1920)
    images, labels = [], []
    classes: list[str] = []
    for path in photographs:
        pixels = decode(path.read_bytes(), max_pixels=_LARGEST).pixels
        corners = [
            (y, x)
            for y in range(0, pixels.shape[0] - _TILE + 1, _TILE)
            for x in range(0, pixels.shape[1] - _TILE + 1, _TILE)
        ]
        if len(corners) < _LEAST:
            continue
        for y, x in corners[:: max(1, len(corners) // _TILES)][:_TILES]:
            images.append(resize(pixels[y : y + _TILE, x : x + _TILE], SIDE, SIDE, "rgb", "crop"))
            labels.append(len(classes))
        classes.append(f"{path.parts[-4]} {path.stem}")
    return PictureSet("tiles", tuple(classes), np.stack(images), np.array(labels, np.int64), 0)
