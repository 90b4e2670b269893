"""KFP's compiled samples, each on Linnet's engine and by kfp.local: `python -m benchmarks.samples FOLDER`.

FOLDER is `test_data/sdk_compiled_pipelines/valid` of a checkout of kubeflow/pipelines. Inputs without a
default get what KFP's own end-to-end test gives them (a value of their type), and the state folder holds
the three secrets that it creates, and the volume claim that one sample is given by name. What a sample
must come to is taken from there too: those in `failing/` fail, all others succeed; an exception is listed
with its reason.

Writes a line a sample while it runs, and the table of docs/engine.md at the end (`--table FILE` keeps it,
`--results FILE` keeps the outcomes, so that a run that was stopped goes on).
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.engine_client import Engine
from benchmarks.machine import describe
from linnet.runner.spec import Spec

SECRETS = {  # backend/test/end2end/pipeline_e2e_test.go
    "test-secret-1": {"username": "user1"},
    "test-secret-2": {"password": "psw1"},
    "test-secret-3": {"password": "psw2"},
}
SECONDS = 1200
"""A sample may take this long: one of them sleeps for a quarter of an hour."""
FAIL_ANYWHERE = {
    "env-var.yaml": "asks for an environment variable that the test's input names and nobody sets",
    "pipeline_as_exit_task.yaml": "one of its tasks raises; the exit task is what it shows",
    "pipeline_with_task_final_status.yaml": "one of its tasks raises; the exit task is what it shows",
    "pipeline_with_task_using_ignore_upstream_failure.yaml": "a task raises, so the DAG reports a failure",
    "local_execution/local_execution_pipeline_with_ignore_upstream_failure.yaml": "a task raises, as above",
    "create_pod_metadata_complex.yaml": "a task reads a variable that its platform document does not set",
    "component_with_task_final_status_GH-12033.yaml": "takes a task's status, which no request gives",
}
"""Samples outside `failing/` that fail on a cluster too, given the inputs of KFP's test."""
OUTSIDE = {
    "critical/modelcar.yaml": "an image in the registry of KFP's own CI",
    "critical/pipeline_with_artifact_upload_download.yaml": "a data set of a model hub",
    "integration/ray_integration_compiled.yaml": "a Ray cluster",
    "pipeline_with_google_artifact_type.yaml": "the package aiplatform, and a bucket of Google's cloud",
    "pipeline_with_importer.yaml": "a bucket of Google's cloud",
    "pythonic_artifact_with_single_return.yaml": "a bucket of Google's cloud",
    "upload_download_compiled.yaml": "an object store, whose secret is its input",
}
"""Samples that need something which is neither in the file nor on this machine, and what."""


@dataclass(frozen=True)
class Outcome:
    """What became of a sample: `runs` (as it must), `refused`, `outside` or `wrong`, and why."""

    verdict: str
    reason: str = ""
    seconds: float = 0.0


def inputs_of(spec: Spec, scratch: Path) -> dict[str, Any]:
    """A value for each parameter that has no default, as KFP's end-to-end test gives it."""
    by_type = {"NUMBER_INTEGER": 7, "STRUCT": {"A": "0.5", "B": "0.25"}, "LIST": ["a"], "BOOLEAN": True}
    by_type["NUMBER_DOUBLE"] = 0.5
    given = {}
    for name, about in spec.root.get("inputDefinitions", {}).get("parameters", {}).items():
        if "defaultValue" not in about and not about.get("isOptional"):
            value = str(scratch / name) if name.endswith("_path") else "text"
            given[name] = by_type.get(about["parameterType"], value)
    return given


def must_succeed(name: str) -> bool:
    """Whether a cluster would bring the sample to a success."""
    return not name.startswith("failing/") and name not in FAIL_ANYWHERE


def judged(name: str, succeeded: bool, reason: str, seconds: float) -> Outcome:
    """The verdict on a sample that was run to its end."""
    if succeeded == must_succeed(name):
        return Outcome("runs", "" if succeeded else "fails, as it must", seconds)
    if name in OUTSIDE and not succeeded:
        return Outcome("outside", f"{OUTSIDE[name]}: {reason}", seconds)
    return Outcome("wrong", reason or "succeeded, and must fail", seconds)


def on_linnet(client: Any, name: str, file: Path, spec: Spec) -> Outcome:
    """Submits a sample to the engine and waits for its end."""
    from kfp_server_api import ApiException

    from linnet.launch.client import silence_sdk

    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        try:
            with silence_sdk():
                run = client.create_run_from_pipeline_package(str(file), inputs_of(spec, Path(scratch)))
        except ApiException as error:
            return Outcome("refused", _refusal(error))
        while (found := client.get_run(run.run_id)).state not in ("SUCCEEDED", "FAILED", "CANCELED"):
            if time.perf_counter() - started > SECONDS:
                client.terminate_run(run.run_id)
                return Outcome("wrong", f"not ended after {SECONDS} s", SECONDS)
            time.sleep(0.1)
    reason = found.error.message if found.error else ""
    return judged(name, found.state == "SUCCEEDED", reason, time.perf_counter() - started)


def _refusal(error: Any) -> str:
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error)


def by_kfp_local(name: str, file: Path, spec: Spec) -> Outcome:
    """Runs a sample by kfp.local in an environment made for it."""
    import kfp

    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        python = scratch / "venv" / "bin" / "python"
        quietly: dict[str, Any] = {"check": True, "capture_output": True}
        subprocess.run(["uv", "venv", "--seed", scratch / "venv"], **quietly)
        subprocess.run(["uv", "pip", "install", "--python", python, f"kfp=={kfp.__version__}"], **quietly)
        script = Path(__file__).parent / "peers" / "kfp_local_sample.py"
        words = [python, script, file.resolve(), json.dumps(inputs_of(spec, scratch))]
        environment = {**os.environ, "PATH": f"{python.parent}:{os.environ['PATH']}"}
        try:
            done = subprocess.run(
                words, cwd=scratch, env=environment, timeout=SECONDS, capture_output=True, text=True
            )
            told = json.loads(done.stderr.strip().splitlines()[-1])
        except subprocess.TimeoutExpired:
            return Outcome("wrong", f"not ended after {SECONDS} s", SECONDS)
        except (ValueError, IndexError):
            return Outcome("wrong", (done.stderr.strip().splitlines() or ["said nothing"])[-1][:300])
    if told["state"] == "refused":
        return Outcome("refused", told["reason"])
    return judged(name, told["state"] == "succeeded", told["reason"], time.perf_counter() - started)


def cause(reason: str) -> str:
    """What a refusal comes down to, so that like ones are counted together."""
    if "only lightweight" in reason or "container component" in reason or "no podman" in reason:
        return "a container component, and neither podman nor docker is there"
    kinds = {
        r"artefact": "a pipeline input that is an artefact, which no API request can give",
        r"packages_to_install": "packages that this environment does not have",
        r"Kubernetes setting|volume claim|workspace|pod field": "a Kubernetes setting",
        r"secret": "a secret that is not in the state folder",
    }
    return next((name for pattern, name in kinds.items() if re.search(pattern, reason)), reason[:120])


def table(results: dict[str, dict[str, Outcome]]) -> str:
    """The table of docs/engine.md: counts by engine, then why samples are refused or wrong here."""
    engines = [
        engine for engine in ("Linnet", "kfp.local") if any(engine in each for each in results.values())
    ]
    lines = [f"| of {len(results)} samples | " + " | ".join(engines) + " |", "|---|" + "---:|" * len(engines)]
    counts = {
        engine: Counter(each[engine].verdict for each in results.values() if engine in each)
        for engine in engines
    }
    for verdict, words in (
        ("runs", "end as on a cluster"),
        ("refused", "refused, with the reason"),
        ("outside", "fail for want of a cloud's bucket, a registry or a cluster that they name"),
        ("wrong", "wrong"),
    ):
        lines.append(f"| {words} | " + " | ".join(str(counts[engine][verdict]) for engine in engines) + " |")
    refused = {name: each["Linnet"] for name, each in results.items() if each["Linnet"].verdict == "refused"}
    lines += ["", "| refused here because of | samples |", "|---|---:|"]
    lines += [
        f"| {why} | {count} |"
        for why, count in Counter(cause(o.reason) for o in refused.values()).most_common()
    ]
    wrong = {name: each["Linnet"] for name, each in results.items() if each["Linnet"].verdict == "wrong"}
    if wrong:
        lines += ["", "| wrong here | |", "|---|---|"]
        lines += [f"| {name} | {outcome.reason} |" for name, outcome in wrong.items()]
    return "\n".join(lines) + "\n"


def chosen(folder: Path, only: str) -> dict[str, Path]:
    """The samples by name."""
    files = sorted(folder.rglob("*.yaml"))
    named = {str(file.relative_to(folder)): file for file in files}
    return {name: file for name, file in named.items() if fnmatch.fnmatch(name, f"*{only}*")}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.samples", description=__doc__)
    parser.add_argument("folder", type=Path, help="of compiled pipelines")
    parser.add_argument("--only", default="", help="names with this in them (a shell pattern)")
    parser.add_argument("--peer", action=argparse.BooleanOptionalAction, default=True, help="kfp.local too")
    parser.add_argument("--table", type=Path, help="where to write the table")
    parser.add_argument("--results", type=Path, help="where outcomes are kept and taken up again")
    options = parser.parse_args(arguments)
    kept = json.loads(options.results.read_text()) if options.results and options.results.exists() else {}
    results = {
        name: {engine: Outcome(**outcome) for engine, outcome in each.items()} for name, each in kept.items()
    }
    samples = chosen(options.folder.resolve(), options.only)
    if not samples:
        sys.exit(f"no compiled pipeline (*.yaml) in {options.folder}")
    with tempfile.TemporaryDirectory() as home, Engine(Path(home)) as engine:
        for secret, values in SECRETS.items():
            folder = Path(home) / "state" / "secrets" / secret
            folder.mkdir(parents=True)
            for key, value in values.items():
                (folder / key).write_text(value)
        (Path(home) / "state" / "volumes" / "text").mkdir(
            parents=True
        )  # the claim that pvc_mount.yaml is given
        for name, file in samples.items():
            each = results.setdefault(name, {})
            spec = Spec.from_text(file.read_bytes())
            if "Linnet" not in each:
                each["Linnet"] = on_linnet(engine.client, name, file, spec)
            if options.peer and "kfp.local" not in each:
                each["kfp.local"] = by_kfp_local(name, file, spec)
            told = "; ".join(f"{k}: {v.verdict} {v.seconds:.1f} s {v.reason[:150]}" for k, v in each.items())
            print(f"{name}: {told}", flush=True)
            if options.results:
                plain = {n: {k: asdict(v) for k, v in e.items()} for n, e in results.items()}
                options.results.write_text(json.dumps(plain, indent=1))
    text = table(results)
    if options.table:
        options.table.write_text(text)
    print(f"{text}  {describe()}")


if __name__ == "__main__":
    main()
