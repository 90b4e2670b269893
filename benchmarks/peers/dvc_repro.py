"""DVC's `dvc repro`, run by the peer's own Python: prints seconds as JSON."""

import json
import subprocess
import sys
import time
from pathlib import Path


def dvc(*words: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "dvc", *words], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main(steps: int) -> None:
    Path("0.txt").write_text("0\n")
    stages = "".join(
        f"  step{n}:\n    cmd: cp {n}.txt {n + 1}.txt\n    deps: [{n}.txt]\n    outs: [{n + 1}.txt]\n"
        for n in range(steps)
    )
    Path("dvc.yaml").write_text(f"stages:\n{stages}")
    dvc("init", "--no-scm", "--quiet")
    dvc("config", "core.analytics", "false")
    dvc("repro", "--quiet")
    worked = dvc("repro", "--force", "--quiet")
    print(json.dumps({"worked": worked, "cached": dvc("repro", "--quiet")}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
