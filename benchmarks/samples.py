"""KFP's compiled samples, each on Linnet's engine and by kfp.local: `python -m benchmarks.samples FOLDER`.

FOLDER is `test_data/sdk_compiled_pipelines/valid` of a checkout of kubeflow/pipelines. Inputs without a
default get what KFP's own end-to-end test gives them (a value of their type), and the state folder holds
the three secrets that it creates, and the volume claim that one sample is given by name. What a sample
must come to is taken from there too: those in `failing/` fail, all others succeed; an exception is listed
with its reason.

Writes one line per sample while it runs, and the table of docs/engine.md at the end (`--table FILE` keeps it,
`--results FILE` keeps the outcomes, so that a run that was stopped goes on).
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from benchmarks.engine_client import Engine
from benchmarks.machine import describe
from linnet.runner.spec import Spec
from linnet.runner.values import typed

SECRETS = {  # backend/test/end2end/pipeline_e2e_test.go
    "test-secret-1": {"username": "user1"},
    "test-secret-2": {"password": "psw1"},
    "test-secret-3": {"password": "psw2"},
}
SECONDS = 1200
"""A sample may take this long if `--seconds` says nothing: one of them sleeps for a quarter of an hour."""
_NO_PROGRAM = (
    "its command is my_program, which its image (ubi9/python-311) does not have: it was made to compile"
)
_ARTIFACT = "its input is an artifact, and no field of a request holds one: a cluster's driver fails the run"
FAIL_ANYWHERE = {
    # comp raises where the variable that its input names is empty; nothing in the file sets one. KFP's own
    # test of it (pipeline_e2e_test.go, "env-var.yaml") has its API server set the variable.
    "env-var.yaml": "asks for an environment variable that the test's input names and nobody sets",
    # fail_op ends with sys.exit(1) within the exit handler, as in failing/pipeline_with_exit_handler.yaml.
    "pipeline_as_exit_task.yaml": "one of its tasks fails; the exit task is what it shows",
    "pipeline_with_task_final_status.yaml": "one of its tasks fails; the exit task is what it shows",
    # fail_op ends with sys.exit(1); only the task after it ignores that.
    "pipeline_with_task_using_ignore_upstream_failure.yaml": "a task fails, so the DAG reports a failure",
    # The SDK's own test says so: "The overall DAG reports failure" (local_execution_test.py).
    "local_execution/local_execution_pipeline_with_ignore_upstream_failure.yaml": "a task fails, as above",
    # validate_no_pod_metadata raises unless os.getenv gives "", and its platform document sets no variable:
    # os.getenv gives None.
    "create_pod_metadata_complex.yaml": "a task reads a variable that its platform document does not set",
    # exit_comp is no exit task: its input of the type TASK_FINAL_STATUS is the pipeline's input, which
    # is optional and has no default; the executor's `.get` fails on None.
    "component_with_task_final_status_GH-12033.yaml": "takes a task's status, which no request gives",
    # Its source says "a compilation test only and is not executable": there is no package aiplatform.
    "pipeline_with_google_artifact_type.yaml": "a package that does not exist (aiplatform)",
    # "parent DAG does not have input artifact" (backend/src/v2/driver/resolve.go); refused here at once.
    "component_with_metadata_fields.yaml": _ARTIFACT,
    "input_artifact.yaml": _ARTIFACT,
    "pipeline_with_metadata_fields.yaml": _ARTIFACT,
    "pipeline_with_various_io_types.yaml": _ARTIFACT,
    "container_io.yaml": _NO_PROGRAM,
    "container_with_concat_placeholder.yaml": _NO_PROGRAM,
    "container_with_if_placeholder.yaml": _NO_PROGRAM,
    "container_with_placeholder_in_fstring.yaml": _NO_PROGRAM,
}
"""Samples outside `failing/` that fail on a cluster too, and what in the file shows it."""
_GOOGLE = "a public bucket of Google's cloud (gs://ml-pipeline-playground)"
OUTSIDE = {
    "components_with_optional_artifacts.yaml": _GOOGLE,
    "critical/modelcar.yaml": "an image in the registry of KFP's own CI (registry.domain.local)",
    "critical/pipeline_with_artifact_upload_download.yaml": "a data set of a public hub (frames-benchmark)",
    "integration/ray_integration_compiled.yaml": "a Ray cluster, which it makes by codeflare_sdk",
    "pipeline_with_dynamic_importer_metadata.yaml": _GOOGLE,
    "pipeline_with_importer.yaml": _GOOGLE,
    "pythonic_artifact_with_single_return.yaml": _GOOGLE,
    "upload_download_compiled.yaml": "the cluster's object store, whose secret is its input",
}
"""Samples that need something which is neither in the file nor on this machine, and what."""


@dataclass(frozen=True)
class Ending:
    """What became of a sample, before anybody judges it."""

    state: Literal["succeeded", "failed", "refused", "stuck"]
    reason: str = ""
    seconds: float = 0.0


Verdict = Literal["runs", "refused", "outside", "unended", "wrong"]


ENGINES = ("Linnet", "kfp.local")
Results = dict[str, dict[str, Ending]]
"""Endings by sample and engine."""


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


def verdict(name: str, ending: Ending) -> Verdict:
    """Whether a sample ended as it must; `outside`: for want of something that it names."""
    if ending.state == "refused":
        return "refused"
    if ending.state == "stuck":
        return "unended"
    if (ending.state == "succeeded") == must_succeed(name):
        return "runs"
    return "outside" if name in OUTSIDE and ending.state == "failed" else "wrong"


def on_linnet(client: Any, seconds: float, file: Path, spec: Spec) -> Ending:
    """Submits a sample to the engine and waits for its end, `seconds` at most."""
    from kfp_server_api import ApiException

    from linnet.launch.client import silence_sdk

    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        try:
            with silence_sdk():
                run = client.create_run_from_pipeline_package(str(file), inputs_of(spec, Path(scratch)))
        except ApiException as error:
            return Ending("refused", _refusal(error))
        while (found := client.get_run(run.run_id)).state not in ("SUCCEEDED", "FAILED", "CANCELED"):
            if time.perf_counter() - started > seconds:
                client.terminate_run(run.run_id)
                return Ending("stuck", f"not ended after {seconds:g} s", seconds)
            time.sleep(0.1)
    reason = found.error.message if found.error else ""
    state: Any = "succeeded" if found.state == "SUCCEEDED" else "failed"
    return Ending(state, reason, time.perf_counter() - started)


def _refusal(error: Any) -> str:
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error)


def by_kfp_local(template: Path, seconds: float, file: Path, spec: Spec) -> Ending:
    """Runs a sample by kfp.local in an environment of its own.

    Args:
        template: an environment with the SDK, which is copied: what a sample installs goes into the copy.
        seconds: it and all that it started are killed after this long.
        file: the sample.
        spec: the same, read.
    """
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        shutil.copytree(template, scratch / "venv", symlinks=True, copy_function=os.link)
        python = scratch / "venv" / "bin" / "python"
        script = Path(__file__).parent / "peers" / "kfp_local_sample.py"
        given = {**_defaults(spec), **inputs_of(spec, scratch)}  # it knows a pipeline's defaults not always
        words: list[Any] = [python, script, file.resolve(), json.dumps(given)]
        environment = {**os.environ, "PATH": f"{python.parent}:{os.environ['PATH']}"}
        with (scratch / "said").open("w+b") as said:
            process = subprocess.Popen(
                words, cwd=scratch, env=environment, stdout=said, stderr=said, start_new_session=True
            )
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                return Ending("stuck", f"not ended after {seconds:g} s", seconds)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            said.seek(0)
            lines = said.read().decode("utf-8", "replace").strip().splitlines()
        try:
            told = json.loads(lines[-1])
            state, reason = told["state"], told["reason"]
        except (ValueError, IndexError, TypeError, KeyError):
            state, reason = "failed", (lines or ["said nothing"])[-1][:300]
    plain = re.sub(r"\x1b\[[0-9;]*m", "", reason)
    return Ending(state, plain, time.perf_counter() - started)


def _defaults(spec: Spec) -> dict[str, Any]:
    parameters = spec.root.get("inputDefinitions", {}).get("parameters", {})
    return {
        name: typed(about["defaultValue"], about["parameterType"], name)
        for name, about in parameters.items()
        if "defaultValue" in about
    }


@contextlib.contextmanager
def _peer() -> Iterator[Path]:
    """An environment with the SDK alone."""
    import kfp

    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder) / "venv" / "bin" / "python"
        quietly: dict[str, Any] = {"check": True, "capture_output": True}
        subprocess.run(["uv", "venv", "--seed", Path(folder) / "venv"], **quietly)
        subprocess.run(["uv", "pip", "install", "--python", python, f"kfp=={kfp.__version__}"], **quietly)
        yield Path(folder) / "venv"


def cause(reason: str) -> str:
    """What a refusal comes down to, so that like ones are counted together."""
    kinds = {
        r"SubprocessRunner only supports": "a container component: it runs Python ones alone",
        r"Inner task failed|finished with status": "a task fails that succeeds on a cluster",
        r"missing \d+ required argument": "a pipeline input that is an artifact",
        r"more than a plain Linux": "an image that is more than a plain Linux or Python, and no container",
        r"needs a container|cannot get it": "an image that needs a container, and none can be run here",
        r"artifact": "a pipeline input that is an artifact, which no request gives: a cluster fails it",
        r"Kubernetes setting|volume claim|pod field": "a Kubernetes setting",
    }
    return next((name for pattern, name in kinds.items() if re.search(pattern, reason)), reason[:120])


def table(results: Results) -> str:
    """The table of docs/engine.md: counts by engine, then why samples are refused or wrong."""
    engines = [engine for engine in ENGINES if any(engine in each for each in results.values())]
    told: dict[str, dict[str, str]] = {
        engine: {name: verdict(name, each[engine]) for name, each in results.items() if engine in each}
        for engine in engines
    }
    lines = [f"| of {len(results)} samples | " + " | ".join(engines) + " |", "|---|" + "---:|" * len(engines)]
    for kind, words in (
        ("runs", "end as on a cluster"),
        ("refused", "refused, with the reason"),
        ("outside", "fail for want of what they name: a cloud, a registry, a cluster"),
        ("unended", "not ended in the time they were given"),
        ("wrong", "wrong"),
    ):
        counts = [str(Counter(told[engine].values())[kind]) for engine in engines]
        lines.append(f"| {words} | " + " | ".join(counts) + " |")
    unseen = [len(results) - len(told[engine]) for engine in engines]
    if any(unseen):
        lines.append("| not run | " + " | ".join(map(str, unseen)) + " |")
    for engine in engines:
        for kind, words in (("refused", "refused"), ("wrong", "wrong")):
            found = [name for name, judged in sorted(told[engine].items()) if judged == kind]
            causes = Counter(cause(results[name][engine].reason) for name in found)
            if causes:
                lines += ["", f"| {words} by {engine}, because of | samples |", "|---|---:|"]
                lines += [f"| {why} | {count} |" for why, count in causes.most_common()]
    missing = Counter(OUTSIDE[name] for name, judged in told.get("Linnet", {}).items() if judged == "outside")
    if missing:
        lines += [
            "",
            "| what samples that fail on Linnet name, and the machine lacks | samples |",
            "|---|---:|",
        ]
        lines += [f"| {what} | {count} |" for what, count in missing.most_common()]
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
    parser.add_argument("--engines", default=",".join(ENGINES), help="which, by commas")
    parser.add_argument("--containers", default="auto", help="engine.containers")
    parser.add_argument("--jobs", type=int, default=1, help="how many samples at once; some of them sleep")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="that a sample may take")
    # Resolved here: the engine works in a folder of its own.
    parser.add_argument("--table", type=_resolved, help="where to write the table")
    parser.add_argument("--results", type=_resolved, help="where outcomes are kept and taken up again")
    options = parser.parse_args(arguments)
    samples = chosen(options.folder.resolve(), options.only)
    if not samples:
        sys.exit(f"no compiled pipeline (*.yaml) in {options.folder}")
    engines = options.engines.split(",")
    results = {name: each for name, each in _kept(options.results).items() if name in samples}
    # The SDK is silenced while it submits, in each thread for itself: the last one to end may leave it so.
    say = partial(print, file=sys.stdout, flush=True)
    with contextlib.ExitStack() as stack:
        runners: dict[str, Callable[[Path, Spec], Ending]] = {}
        if "kfp.local" in engines:
            runners["kfp.local"] = partial(by_kfp_local, stack.enter_context(_peer()), options.seconds)
        if "Linnet" in engines:
            client = stack.enter_context(_engine(options.containers, options.jobs))
            runners["Linnet"] = partial(on_linnet, client, options.seconds)
        pool = stack.enter_context(ThreadPoolExecutor(options.jobs))
        asked = {
            pool.submit(runners[engine], file, Spec.from_text(file.read_bytes())): (name, engine)
            for name, file in samples.items()
            for engine in engines
            if engine not in results.setdefault(name, {})
        }
        for done in as_completed(asked):
            (name, engine), ending = asked[done], done.result()
            results[name][engine] = ending
            told = f"{verdict(name, ending)} {ending.seconds:.1f} s {ending.reason[:150]}"
            say(f"{name}: {engine}: {told}")
            if options.results:
                plain = {n: {k: asdict(v) for k, v in e.items()} for n, e in results.items()}
                options.results.write_text(json.dumps(plain, indent=1))
    text = table(dict(sorted(results.items())))
    if options.table:
        options.table.write_text(text)
    say(f"{text}  {describe()}")


def _resolved(text: str) -> Path:
    return Path(text).resolve()


def _kept(file: Path | None) -> Results:
    kept = json.loads(file.read_text()) if file is not None and file.exists() else {}
    return {name: {engine: Ending(**told) for engine, told in each.items()} for name, each in kept.items()}


@contextlib.contextmanager
def _engine(containers: Any, jobs: int) -> Iterator[Any]:
    """A client of an engine that has what KFP's own test creates."""
    with tempfile.TemporaryDirectory() as home:
        for secret, values in SECRETS.items():
            folder = Path(home) / "state" / "secrets" / secret
            folder.mkdir(parents=True)
            for key, value in values.items():
                (folder / key).write_text(value)
        (Path(home) / "state" / "volumes" / "text").mkdir(parents=True)
        with Engine(Path(home), containers=containers, concurrent_runs=max(2, jobs)) as engine:
            yield engine.client


if __name__ == "__main__":
    main()
