"""From a fresh folder of photos to a champion that answers: two commands, timed.

The folder holds eight classes of clip art (`benchmarks.transfer_sets`): about 3,100 RGBA pictures, from 66
to 1,797 a class. State, configs and cache are new. `linnet up --detach` then serves the champion, which is
asked once.

    python -m benchmarks photo_champion            all pictures
    python -m benchmarks photo_champion 40         at most 40 a class
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import describe
from benchmarks.transfer_sets import clip_art, fetch


def main(arguments: list[str] | None = None) -> None:
    most = int(arguments[0]) if arguments else sys.maxsize
    print(describe("torch", "timm"), "load", os.getloadavg())
    with tempfile.TemporaryDirectory(prefix="linnet-photos-") as scratch:
        root = Path(scratch)
        fetch(root / "packages", ("openclipart-png",))
        (root / "work").mkdir()
        counts = {
            name: copy_all(files[:most], root / "photos" / name)
            for name, files in clip_art(root / "packages").items()
        }
        print(json.dumps({"pictures": sum(counts.values()), **counts}), flush=True)
        one = sorted((root / "photos" / "animals").iterdir())[0]
        for words in (
            ("init", "clipart", "--data", str(root / "photos")),
            ("run", "configs/clipart.toml"),
            ("up", "--detach"),
            ("predict", str(one)),
            ("down",),
        ):
            timed(root, words)


def copy_all(files: list[Path], folder: Path) -> int:
    """Copies pictures into the folder of their class, numbered, since names repeat between its parts."""
    folder.mkdir(parents=True)
    for number, file in enumerate(files):
        shutil.copy(file, folder / f"{number:04}-{file.name}")
    return len(files)


def timed(root: Path, words: tuple[str, ...]) -> None:
    """Runs `linnet WORDS` in the fresh folder and prints its seconds, its status and its last lines."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "linnet", *words],
        cwd=root / "work",
        env={**os.environ, "LINNET_HOME": str(root / "state")},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = round(time.perf_counter() - began, 1)
    shown = (done.stdout + done.stderr).strip().splitlines()[-12:]
    print(json.dumps({"command": " ".join(words[:2]), "seconds": seconds, "status": done.returncode}))
    print("\n".join(f"    {line}" for line in shown), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
