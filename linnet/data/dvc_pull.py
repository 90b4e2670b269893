"""`python -m linnet.data.dvc_pull ROOT DIGEST TARGET`: one dataset version from DVC's cache or remote.

A process of its own: importing dvc takes about a second and starts threads, and it works by digest,
so that any version can be had without touching the workspace. Exit status 1 and one line on stderr
say why there is nothing.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from dvc.config import NoRemoteError
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc_data.hashfile.db import HashFileDB
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.tree import Tree

from linnet.errors import LinnetError
from linnet.storage.paths import state_dir
from linnet.storage.private import close_tree, make_private


def pull(root: Path, digest: str, target: Path) -> None:
    """Copies the files of the folder `digest` into `target`, after a pull where the cache lacks some.

    Raises:
        DvcException: no remote is configured, or it cannot be reached.
        LookupError: neither cache nor remote has every file.
    """
    site = state_dir() / "dvc-site"
    make_private(state_dir())
    close_tree(site)
    try:
        _pull(root, digest, target, site)
    finally:
        close_tree(site)  # DVC makes its folders there for everybody (0777)


def _pull(root: Path, digest: str, target: Path, site: Path) -> None:
    with Repo(str(root), config={"core": {"site_cache_dir": str(site)}}) as repo:
        cache = repo.cache.local
        version = HashInfo("md5", digest)
        if not cache.exists(digest):
            repo.cloud.pull([version])  # the listing only; its files follow
        if cache.exists(digest) and not _complete(cache, version):
            repo.cloud.pull([file for _, _, file in Tree.load(cache, version) if file])
        if not _complete(cache, version):
            raise LookupError("neither the cache nor the remote has every file")
        for key, _, file in Tree.load(cache, version):
            path = target.joinpath(*key)
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(cache.oid_to_path(file.value), path)


def _complete(cache: HashFileDB, version: HashInfo) -> bool:
    if not version.value or not cache.exists(version.value):
        return False
    return all(cache.exists(file.value) for _, _, file in Tree.load(cache, version))


def main(arguments: list[str]) -> int:
    """Runs the command; returns the exit status."""
    root, digest, target = arguments
    try:
        pull(Path(root), digest, Path(target))
    except NoRemoteError:
        sys.stderr.write("the cache does not have it, and no remote is configured\n")
        return 1
    except (DvcException, LinnetError, LookupError, OSError) as error:
        sys.stderr.write(" ".join(str(error).split()) + "\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
