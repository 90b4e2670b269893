"""`python -m linnet.labels.dvc_commit ROOT FOLDER`: puts a folder into DVC's cache; prints its digest.

A process of its own: importing dvc takes about a second and starts threads. ROOT is a DVC project, or
becomes one without git. The digest is the md5 that `dvc add` would give the folder, ending in `.dir`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.fs import localfs
from dvc.repo import Repo
from dvc_data.hashfile.build import build
from dvc_data.hashfile.transfer import transfer

from linnet.errors import LinnetError
from linnet.storage.paths import state_dir
from linnet.storage.private import close_tree, make_private


def commit(root: Path, folder: Path) -> str:
    """Copies the files of `folder` into the cache of the project at `root`; the folder's digest."""
    if not (root / ".dvc").is_dir():
        Repo.init(str(root), no_scm=True).close()
    site = state_dir() / "dvc-site"
    make_private(state_dir())
    close_tree(site)
    try:
        with Repo(str(root), config={"core": {"site_cache_dir": str(site)}}) as repo:
            staged, _, found = build(repo.cache.local, str(folder), localfs, "md5")
            transfer(staged, repo.cache.local, {found.hash_info}, shallow=False)
            return str(found.hash_info.value)
    finally:
        close_tree(site)  # DVC makes its folders there for everybody (0777)


def main(arguments: list[str]) -> int:
    """Runs the command; returns the exit status."""
    root, folder = map(Path, arguments)
    try:
        print(commit(root, folder))
    except (DvcException, LinnetError, OSError) as error:
        sys.stderr.write(" ".join(str(error).split()) + "\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
