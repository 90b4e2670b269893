"""The evidence of a run on another host: fetched through its API into a folder like a run's own."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from linnet.errors import RunError
from linnet.launch.client import Host
from linnet.launch.submit import was_terminated
from linnet.records import GateDecision, RolloutDecision, RunRecord, RunRequest, now

if TYPE_CHECKING:
    import httpx

_WANTED = {
    ("evaluate", "report"): ("evaluation.json", "gates.json"),
    ("ingest", "samples"): ("manifest.json",),
    ("package", "package"): ("gates.json",),
    ("release", "rollout"): ("rollout.json",),
    ("train", "model"): ("training.json",),
    ("validate", "report"): ("validation.json",),
}
"""Files that a report reads, by task and output."""
_STATES = {
    "SUCCEEDED": "succeeded",
    "FAILED": "failed",
    "CANCELED": "interrupted",
    "CANCELING": "interrupted",
}


def fetch_evidence(host: Host, run_id: str, scratch: Path) -> Path:
    """Lays what the host has of a run into `scratch`, and gives the run's folder there.

    A host that is Kubeflow's own tells the run's state and parameters, and keeps its artifacts in its
    object store: the report then says what is known.

    Raises:
        RunError: the host does not answer, or knows no such run.
    """
    import httpx

    run = _run(host, run_id)
    folder = scratch / run_id
    folder.mkdir(parents=True)
    with httpx.Client(base_url=host.url, headers=host.headers(), timeout=60) as client:
        try:
            listed = client.get(f"/linnet/v1/runs/{quote(run_id)}/artifacts")
            artifacts = listed.json()["artifacts"] if _is_there(listed) else []
            for artifact in artifacts:
                _fetch(client, run_id, artifact, folder)
        except (httpx.HTTPError, ValueError, KeyError) as error:
            raise RunError(f"{host.url} does not give the artifacts of {run_id}: {error}") from error
    _record(run, run_id, folder).save(folder / "run.json")
    return folder


def refusal(host: Host, run_id: str) -> str:
    """Why a run that came to its end there promoted nothing: a gate or the canary said no; else nothing.

    Raises:
        RunError: the host does not answer, or knows no such run.
    """
    with tempfile.TemporaryDirectory() as scratch:
        record = RunRecord.load(fetch_evidence(host, run_id, Path(scratch)) / "run.json")
    return record.error if record.state == "rejected" else ""


def _run(host: Host, run_id: str) -> Any:
    from linnet.launch.client import silence_sdk, translate_api_errors

    client = host.client()
    with silence_sdk(), translate_api_errors(host.url):
        return client.get_run(run_id)


def _fetch(client: Any, run_id: str, artifact: dict[str, Any], folder: Path) -> None:
    task = str(artifact["task_id"]).rsplit("/", 1)[-1].rsplit(".", 1)[-1]
    output = str(artifact["output"])
    node = quote(str(artifact["task_id"]), safe="")
    for name in _WANTED.get((task, output), ()):
        found = client.get(f"/linnet/v1/runs/{quote(run_id)}/artifacts/{node}/{output}/0/{name}")
        if _is_there(found):
            target = folder / task / output / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(found.content)


def _is_there(answer: httpx.Response) -> bool:
    """Whether the host has it. Any other refusal is an error: what a gate said must not go missing unsaid."""
    if answer.status_code != 404:
        answer.raise_for_status()
    return answer.is_success


def _record(run: Any, run_id: str, folder: Path) -> RunRecord:
    """The run's record, as far as the API tells; gates or a canary that said no make it `rejected`."""
    given = dict((run.runtime_config.parameters if run.runtime_config else None) or {})
    request = given.pop("request", None) or {"cause": "person", "actor": "unknown"}
    state: Any = "interrupted" if was_terminated(run) else _STATES.get(str(run.state), "running")
    # A run that still goes on, was terminated or failed is not released either, and no gate said so.
    refusals = _refusals(folder) or (_unreleased(run) if state == "succeeded" else [])
    if state == "succeeded" and refusals:
        state = "rejected"
    error = "; ".join(refusals) or str(getattr(run.error, "message", "") or "")
    return RunRecord(
        run_id=run_id,
        pipeline="training",
        config={"name": str(run.display_name).partition(" [")[0], **given},  # the key stands in brackets
        commit=str(request.get("commit") or os.environ.get("GITHUB_SHA", "")),
        request=RunRequest.model_validate(request),
        state=state,
        started_at=run.created_at or now(),
        ended_at=run.finished_at,
        error=error if state != "succeeded" else "",
    )


def _refusals(folder: Path) -> list[str]:
    """Why gates or the canary said no."""
    reasons: list[str] = []
    for name in ("evaluate/report", "package/package"):
        if (folder / name / "gates.json").exists():
            reasons += GateDecision.load(folder / name / "gates.json").reasons
    rollout = folder / "release" / "rollout" / "rollout.json"
    if rollout.exists() and (decision := RolloutDecision.load(rollout)).verdict != "promote":
        reasons.append(f"canary: {decision.reason}")
    return reasons


def _unreleased(run: Any) -> list[str]:
    """What the tasks alone tell, where the host keeps the files elsewhere: gates kept a model back."""
    tasks = (run.run_details.task_details if run.run_details else None) or []
    done = {task.display_name for task in tasks if task.state in ("SUCCEEDED", "CACHED")}
    if "evaluate" in done and "release" not in done:
        return ["a gate said no: the run ended before its release"]
    return []
