"""What a `.dvc` file names: one version of a raw dataset, by digest.

The format is DVC 3's. One directory output is expected; its digest is the md5 of DVC's listing of
the files (https://dvc.org/doc/user-guide/project-structure/dvc-files). DVC leaves the `meta` section
to its users; Linnet keeps the per-file digests there, and where else the files may be had.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from linnet.errors import DataError
from linnet.storage.paths import state_dir


class NamedFile(BaseModel):
    """One file of a dataset version: its path inside the dataset, size in bytes and digests."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    relpath: str
    size: int
    md5: str
    sha256: str


class Origins(BaseModel):
    """The `meta: linnet:` section of a `.dvc` file: digests a file, and further sources."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: tuple[NamedFile, ...] = ()
    debian_package: str = ""
    installed_folder: str = ""
    mirrors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DatasetVersion:
    """One version of a raw dataset."""

    dvc_file: Path
    digest: str
    """DVC's digest of the folder: 32 hex digits and `.dir`."""
    folder: Path
    """Where the verified raw folder is, or goes."""
    origins: Origins

    @property
    def managed(self) -> bool:
        """Whether the folder is Linnet's own to replace, not a person's."""
        return self.folder.is_relative_to(state_dir())


def listing_digest(files: dict[str, str]) -> str:
    """DVC's digest of a folder from the md5 of each relative POSIX path."""
    rows = [{"md5": files[path], "relpath": path} for path in sorted(files)]
    return hashlib.md5(json.dumps(rows).encode(), usedforsecurity=False).hexdigest() + ".dir"


def read_version(dvc_file: Path, revision: str = "") -> DatasetVersion:
    """Reads a `.dvc` file, as it is or as of a git revision.

    Raises:
        DataError: there is no such file or revision, or it does not name one folder by md5.
    """
    where = f"{dvc_file}@{revision}" if revision else str(dvc_file)
    text = _text_at(dvc_file, revision) if revision else _text(dvc_file)
    try:
        raw = yaml.safe_load(text)
        out = raw["outs"][0]
        path, digest, hash_name = str(out["path"]), str(out["md5"]), out.get("hash")
        wdir, count = str(raw.get("wdir", ".")), len(raw["outs"])
        origins = Origins.model_validate((raw.get("meta") or {}).get("linnet") or {})
    except (yaml.YAMLError, TypeError, KeyError, IndexError, AttributeError, ValidationError) as error:
        raise DataError(
            where, f"is not a .dvc file: {_reason(error)}", "write one with `dvc add FOLDER`"
        ) from error
    if count != 1 or hash_name != "md5" or not re.fullmatch(r"[0-9a-f]{32}\.dir", digest):
        raise DataError(
            where,
            "must name exactly one folder by md5, in the format of DVC 3",
            "put the files in one folder and run `dvc add FOLDER`",
        )
    _check_consistent(where, origins, digest)
    return DatasetVersion(dvc_file, digest, _folder(dvc_file, wdir, path, revision, digest), origins)


def _reason(error: Exception) -> str:
    """A third party's complaint as one line."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"meta.linnet.{'.'.join(map(str, first['loc']))}: {first['msg']}"
    if isinstance(error, KeyError):
        return f"it has no {error}"
    return " ".join(str(error).split())


def _folder(dvc_file: Path, wdir: str, path: str, revision: str, digest: str) -> Path:
    """DVC's workspace folder; for a revision one of its own, so that two never take turns in one."""
    if revision:
        return state_dir() / "data" / "versions" / digest.removesuffix(".dir")
    inside = PurePosixPath(wdir, path)
    if inside.parts[:1] == (".linnet",):  # the state folder may lie elsewhere
        return state_dir().joinpath(*inside.parts[1:])
    return (dvc_file.parent / inside).resolve()


def _check_consistent(where: str, origins: Origins, digest: str) -> None:
    if not origins.files:
        return
    for file in origins.files:
        path = PurePosixPath(file.relpath)
        if path.is_absolute() or ".." in path.parts:
            raise DataError(where, f"meta.linnet.files names '{file.relpath}', outside the dataset")
    found = listing_digest({file.relpath: file.md5 for file in origins.files})
    if found != digest:
        raise DataError(
            where,
            f"its meta.linnet.files add up to {found}, but the dataset's digest is {digest}",
            "bring the list up to date, or remove it (a wrong byte then names only the folder)",
        )


def _text(dvc_file: Path) -> str:
    try:
        return dvc_file.read_text("utf-8")
    except FileNotFoundError as error:
        raise DataError(
            str(dvc_file), "no such file", "set data.location to a .dvc file or to a folder of images"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(str(dvc_file), f"cannot be read: {error}") from error


def _text_at(dvc_file: Path, revision: str) -> str:
    """The file's text as of a git revision."""
    where = f"{dvc_file}@{revision}"
    if revision.startswith("-"):
        raise DataError(where, f"'{revision}' is not a git revision", "name a commit, branch or tag")
    folder = str(dvc_file.parent)
    try:
        known = _git(folder, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
        shown = _git(folder, "show", f"{revision}:./{dvc_file.name}")
    except OSError as error:
        raise DataError(where, f"git cannot be run: {error}", "install git") from error
    if known.returncode:
        inside = _git(folder, "rev-parse", "--is-inside-work-tree").returncode == 0
        problem = "there is no such git revision" if inside else "it does not lie in a git repository"
        raise DataError(where, problem, f"`git log -- {dvc_file.name}` lists the revisions")
    if shown.returncode:
        raise DataError(where, "that revision has no such file", f"see `git log -- {dvc_file.name}`")
    return shown.stdout


def _git(folder: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", "-C", folder, *arguments], capture_output=True, text=True, encoding="utf-8", check=False
    )
