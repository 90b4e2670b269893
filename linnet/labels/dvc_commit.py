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

from linnet.storage.paths import state_dir


def commit(root: Path, folder: Path) -> str:
    """Copies the files of `folder` into the cache of the project at `root`; the folder's digest."""
    if not (root / ".dvc").is_dir():
        Repo.init(str(root), no_scm=True).close()
    with Repo(str(root), config={"core": {"site_cache_dir": str(state_dir() / "dvc-site")}}) as repo:
        staged, _, found = build(repo.cache.local, str(folder), localfs, "md5")
        transfer(staged, repo.cache.local, {found.hash_info}, shallow=False)
        return str(found.hash_info.value)


def main(arguments: list[str]) -> int:
    """Runs the command; returns the exit status."""
    root, folder = map(Path, arguments)
    try:
        print(commit(root, folder))
    except (DvcException, OSError) as error:
        sys.stderr.write(" ".join(str(error).split()) + "\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
