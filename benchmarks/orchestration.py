"""Seconds a step for a chain of steps that do nothing, worked and cached, side by side with other tools.

Each peer runs in a virtual environment of its own, made from PyPI below `.linnet/peers/` when it is first
needed (LINNET_BENCH_PEERS=0 leaves them out). Linnet's times are those that a client of the running
engine sees, from sending the run to seeing it ended; so is the time of the real DAG, fully cached.
"""

import json
import os
import subprocess
import tempfile
import venv
from pathlib import Path
from statistics import median

from benchmarks.engine_client import Engine
from benchmarks.machine import describe

STEPS = 12
REPEATS = 3
PEERS = {
    "kfp.local, its default": ("kfp_local", ["kfp==2.17.0"]),
    "ZenML, local": ("zenml_local", ["zenml[local]==0.98.0"]),
    "DVC repro": ("dvc_repro", ["dvc==3.67.1"]),
}


def peer_python(name: str, packages: list[str]) -> Path:
    """The Python of a peer's environment, which is made if need be."""
    folder = Path(os.environ.get("LINNET_PEERS", ".linnet/peers")).resolve() / name
    python = folder / "bin" / "python"
    if not (folder / "installed").exists():
        print(f"  installing {' '.join(packages)} ...", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        (folder / "installed").write_text(" ".join(packages))
    return python


def of_peer(script: str, packages: list[str]) -> dict[str, float]:
    """Seconds of a chain of a peer, worked and cached."""
    python = peer_python(script, packages)
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "PATH": f"{python.parent}:{os.environ['PATH']}",
            "ZENML_CONFIG_PATH": folder,
            "ZENML_ANALYTICS_OPT_IN": "false",
            "ZENML_LOGGING_VERBOSITY": "ERROR",
            "DVC_NO_ANALYTICS": "1",
        }
        done = subprocess.run(
            [python, Path(__file__).parent / "peers" / f"{script}.py", str(STEPS)],
            cwd=folder, env=environment, check=True, capture_output=True, text=True,
        )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def line(name: str, worked: list[float], cached: list[float]) -> None:
    each, hit = (median(values) / STEPS * 1000 for values in (worked, cached))
    spread = f"{min(worked) / STEPS * 1000:,.0f} to {max(worked) / STEPS * 1000:,.0f}"
    print(f"  {name:<24} {each:>8,.0f} ({spread})  {hit:>8,.0f}   n = {len(worked)}", flush=True)


def main() -> None:
    print(f"orchestration: milliseconds a step, chain of {STEPS} steps that do nothing (median, range)")
    print(f"  {'':<24}   worked              cached")
    with tempfile.TemporaryDirectory() as home, Engine(Path(home)) as engine:
        engine.chain(STEPS)
        times = [(engine.chain(STEPS, fresh=True), engine.chain(STEPS)) for _ in range(REPEATS)]
        line("Linnet, by its engine", [worked for worked, _ in times], [cached for _, cached in times])
        if os.environ.get("LINNET_BENCH_PEERS") != "0":
            for name, (script, packages) in PEERS.items():
                repeats = 1 if script == "kfp_local" else REPEATS
                found = [of_peer(script, packages) for _ in range(repeats)]
                line(name, [each["worked"] for each in found], [each["cached"] for each in found])
        seconds = engine.real_dag_cached(REPEATS)
        print(
            f"  the training DAG, fully cached and verified: {median(seconds):.2f} s as a client sees it "
            f"({min(seconds):.2f} to {max(seconds):.2f}, n = {len(seconds)})"
        )
    peers = "; peers: " + ", ".join(p for _, packages in PEERS.values() for p in packages)
    print(f"  {describe()}{peers}")


if __name__ == "__main__":
    main()
