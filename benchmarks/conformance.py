"""Open Inference Protocol v2 against any server: python -m benchmarks conformance --url URL --model NAME.

Without --url the suite runs against Linnet's own server, with a model of the size of configs/fashion.toml.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.machine import describe
from benchmarks.protocol import repository, routes, tensors, wrong
from benchmarks.protocol.target import Case, Target


def all_cases() -> list[Case]:
    return [*routes.cases(), *tensors.cases(), *wrong.cases(), *repository.cases()]


def failures(target: Target, cases: list[Case]) -> dict[str, str]:
    """What is wrong, by case."""
    found = {}
    for case in cases:
        try:
            case.check(target)
        except Exception as error:  # noqa: BLE001  a broken connection or answer is a failure like others
            found[case.id] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    return found


def report(name: str, target: Target) -> int:
    """Prints what fails; returns how many cases do."""
    cases = all_cases()
    found = failures(target, cases)
    for case, problem in found.items():
        print(f"  FAIL {case}\n       {problem}")
    groups = Counter(case.group for case in cases)
    failed = Counter(case.split(":")[0] for case in found)
    parts = ", ".join(f"{group} {count - failed[group]}/{count}" for group, count in groups.items())
    print(f"conformance of {name}: {len(cases) - len(found)} of {len(cases)}\n  {parts}")
    return len(found)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m benchmarks conformance", description=__doc__)
    parser.add_argument("--url", help="of the server, such as http://127.0.0.1:8080")
    parser.add_argument("--model", default="fashion")
    parser.add_argument("--token", help="for the repository routes (or LINNET_TOKEN)")
    options = parser.parse_args(arguments or [])
    if options.url is not None:
        target = Target(options.url, options.model, options.token or os.environ.get("LINNET_TOKEN"))
        sys.exit(1 if report(options.url, target) else 0)
    from benchmarks.serving_package import build
    from linnet.config import ServingConfig
    from linnet.process.model_server import ServerProcess, server_command

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        state, config = home / "server.json", ServingConfig(port=0)
        command = server_command(build(home / "package"), "1", config, state, home / "log")
        server = ServerProcess(command, state, home / "server.log")
        try:
            failed = report("Linnet", Target(server.state.url, "fashion", server.state.token))
        finally:
            server.stop()
    print(f"  {describe('onnxruntime')}")
    if failed:
        sys.exit(1)
