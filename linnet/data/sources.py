"""The places that a raw dataset may come from, in the order in which they are asked.

A source fills a folder or raises `NoAnswer`. It need not be trusted: every file is checked against
the `.dvc` file's digests after decompression.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zlib
from pathlib import Path
from typing import IO, Protocol, cast

from linnet.data.digest import check_file
from linnet.data.version import DatasetVersion, NamedFile
from linnet.progress import Progress
from linnet.storage.paths import state_dir

_BLOCK = 1 << 20
_CONNECT_SECONDS = 15
_COMMAND_SECONDS = 300


class NoAnswer(Exception):
    """A source does not have the dataset; the text says why."""


class Source(Protocol):
    """Somewhere a dataset may be had."""

    @property
    def name(self) -> str:
        """What people call it."""

    def deliver(self, version: DatasetVersion, folder: Path, progress: Progress | None) -> None:
        """Fills the empty `folder` with the version's files.

        Raises:
            NoAnswer: it has none.
            DigestMismatch: it has others.
        """


class DvcStore:
    """The cache and the default remote of the DVC project around the `.dvc` file."""

    name = "DVC cache and remote"

    def deliver(self, version: DatasetVersion, folder: Path, progress: Progress | None) -> None:
        """Pulls by digest, in a process of its own."""
        parents = version.dvc_file.resolve().parents
        root = next((parent for parent in parents if (parent / ".dvc").is_dir()), None)
        if root is None:
            raise NoAnswer("there is no .dvc folder above the file")
        if progress:
            progress(f"fetching: {self.name}", 0, 1)
        _command([sys.executable, "-m", "linnet.data.dvc_pull", str(root), version.digest, str(folder)])


class InstalledFolder:
    """The folder that an installed package brings, files possibly gzipped."""

    name = "installed package"

    def deliver(self, version: DatasetVersion, folder: Path, progress: Progress | None) -> None:
        """Copies and decompresses."""
        installed = version.origins.installed_folder
        if not installed:
            raise NoAnswer("the .dvc file names none")
        _copy_all(Path(installed), version, folder, self.name, progress)


class DebianPackage:
    """The package downloaded with apt-get and unpacked with dpkg; needs no root."""

    name = "Debian package"

    def deliver(self, version: DatasetVersion, folder: Path, progress: Progress | None) -> None:
        """Downloads, unpacks in a temporary folder, copies and decompresses."""
        package = version.origins.debian_package
        if not package:
            raise NoAnswer("the .dvc file names none")
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".deb-{os.getpid()}-") as name:
            download = Path(name)
            if progress:
                progress(f"fetching: {self.name}", 0, 1)
            _download_package(package, download)
            archive = next(download.glob("*.deb"), None)
            if archive is None:
                raise NoAnswer(f"apt-get downloaded no file for {package}")
            _command(["dpkg", "-x", str(archive), str(download / "x")])
            unpacked = download / "x" / version.origins.installed_folder.lstrip("/")
            _copy_all(unpacked, version, folder, self.name, progress)


class HttpMirror:
    """A public address below which the files lie, gzipped or not."""

    def __init__(self, address: str) -> None:
        self.name = address
        self._address = address.rstrip("/") + "/"

    def deliver(self, version: DatasetVersion, folder: Path, progress: Progress | None) -> None:
        """Downloads and decompresses, file by file."""
        if not self._address.startswith(("http://", "https://")):
            raise NoAnswer("is neither http nor https")
        meter = _Meter(self.name, version, progress)
        for file in _listed(version):
            refusal = ""
            for suffix in (".gz", ""):
                try:
                    request = self._address + file.relpath + suffix
                    with urllib.request.urlopen(request, timeout=_CONNECT_SECONDS) as answer:  # noqa: S310
                        _write(answer, file, folder, bool(suffix), meter)
                    break
                except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
                    reason = getattr(error, "reason", "") or error
                    status = f"{error.code} " if isinstance(error, urllib.error.HTTPError) else ""
                    refusal = refusal or f"{file.relpath}: {status}{reason}"
                    if not isinstance(error, urllib.error.HTTPError):
                        raise NoAnswer(refusal) from error
                except http.client.HTTPException as error:
                    raise NoAnswer(f"{file.relpath}: {error!r}") from error
            else:
                raise NoAnswer(refusal)


def sources_of(version: DatasetVersion) -> list[Source]:
    """All sources of a version, nearest first."""
    mirrors = [HttpMirror(address) for address in version.origins.mirrors]
    return [DvcStore(), InstalledFolder(), DebianPackage(), *mirrors]


class _Meter:
    """Counts the bytes of all files for the progress display."""

    def __init__(self, name: str, version: DatasetVersion, progress: Progress | None) -> None:
        self._what, self._progress, self._done = f"fetching: {name}", progress, 0
        self._total = sum(file.size for file in version.origins.files)

    def add(self, count: int) -> None:
        self._done += count
        if self._progress:
            self._progress(self._what, min(self._done, self._total), self._total)


def _listed(version: DatasetVersion) -> tuple[NamedFile, ...]:
    if not version.origins.files:
        raise NoAnswer("the .dvc file does not list its files under meta.linnet")
    return version.origins.files


def _copy_all(
    origin: Path, version: DatasetVersion, folder: Path, name: str, progress: Progress | None
) -> None:
    meter = _Meter(name, version, progress)
    for file in _listed(version):
        plain, packed = origin / file.relpath, origin / (file.relpath + ".gz")
        found = next((path for path in (plain, packed) if path.is_file()), None)
        if found is None:
            raise NoAnswer(f"{plain} does not exist")
        with found.open("rb") as stream:
            _write(stream, file, folder, found == packed, meter)


def _write(stream: IO[bytes], file: NamedFile, folder: Path, packed: bool, meter: _Meter) -> None:
    """Writes at most one byte more than the file's size (no bomb can fill the disk) and checks it."""
    path = folder / file.relpath
    path.parent.mkdir(parents=True, exist_ok=True)
    opened = cast(IO[bytes], gzip.GzipFile(fileobj=stream)) if packed else stream
    left = file.size + 1
    try:
        with path.open("wb") as target:
            while left and (block := opened.read(min(_BLOCK, left))):
                target.write(block)
                left -= len(block)
                meter.add(len(block))
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise NoAnswer(f"{file.relpath}.gz is damaged ({error})") from error
    check_file(path, file)


def _download_package(package: str, folder: Path) -> None:
    """`apt-get download`; where the machine's package lists are missing, with lists of our own."""
    quick = ["-q", "-o", f"Acquire::http::Timeout={_CONNECT_SECONDS}", "-o", "Acquire::Retries=1"]
    if os.geteuid() == 0:  # the _apt user cannot write to the state folder
        quick += ["-o", "APT::Sandbox::User=root"]
    try:
        _command(["apt-get", *quick, "download", package], folder)
        return
    except NoAnswer:
        own = state_dir() / "apt"
    for name in ("lists/partial", "cache/archives/partial"):
        (own / name).mkdir(parents=True, exist_ok=True)
    private = ["-o", f"Dir::State::Lists={own / 'lists'}", "-o", f"Dir::Cache={own / 'cache'}"]
    with contextlib.suppress(NoAnswer):  # one repository of several may fail; the download decides
        _command(["apt-get", *quick, *private, "update"], folder)
    _command(["apt-get", *quick, *private, "download", package], folder)


def _command(words: list[str], folder: Path | None = None) -> None:
    """Runs a program.

    Raises:
        NoAnswer: it is missing, failed (its last line of stderr is kept) or took too long.
    """
    environment = {**os.environ, "LC_ALL": "C", "DVC_NO_ANALYTICS": "1"}
    try:
        done = subprocess.run(
            words,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_COMMAND_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise NoAnswer(f"{words[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise NoAnswer(f"{words[0]} took more than {_COMMAND_SECONDS} s") from error
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise NoAnswer(said[-1] if said else f"{words[0]} ended with status {done.returncode}")
