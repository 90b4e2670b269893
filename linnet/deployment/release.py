"""`release`: canary a package under replayed traffic and say whether it may become the champion.

Wires server, traffic, judge and rollout. It moves no alias in the registry: its caller does, in `promote`,
which is told the decision and how the traffic is given.
"""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from pathlib import Path

from linnet.config import ReleaseConfig, ServingConfig
from linnet.deployment.first_release import FirstReleaseBaseline
from linnet.deployment.kserve import KServeTarget
from linnet.deployment.local_server import EmbeddedServer, start_server
from linnet.deployment.pace import Pace
from linnet.deployment.page import render
from linnet.deployment.replay import Replayer, Traffic
from linnet.deployment.replay_margins import replay_margins
from linnet.deployment.rollout import Candidate, Promote, Rollout
from linnet.deployment.traffic import LoadRefused
from linnet.errors import RolloutError
from linnet.process.interruption import terminable
from linnet.progress import Progress
from linnet.records import (
    Gate,
    GateDecision,
    JudgeSnapshot,
    JudgeVerdict,
    ModelPackage,
    RolloutDecision,
    RolloutMark,
    TrainingSetManifest,
    now,
)
from linnet.storage.files import file_name
from linnet.storage.paths import state_dir


def release(
    package: Path,
    version: str,
    champion: Path | None,
    champion_version: str | None,
    training_set: Path,
    config: ReleaseConfig,
    serving: ServingConfig,
    name: str,
    out: Path,
    server_state: Path | None = None,
    progress: Progress | None = None,
    promote: Promote | None = None,
    blocked: str = "",
    judged: GateDecision | None = None,
) -> RolloutDecision:
    """Rolls `package` out as `version` of model `name`; writes rollout.json and rollout.html to `out`.

    The server that wrote `server_state` is used if it runs and serves this model (and then serves the
    outcome); else one is started for the release and stopped after it. Without a champion the candidate is
    held against its own evaluation and absolute limits. `promote` moves the alias together with the
    traffic, when the verdict says so. `blocked`: why this version gets no traffic at all, such as that it was
    rolled back before; it stands in the decision. `judged`: the gates against the champion, where they had to
    be judged again; if one failed, nothing is rolled out either. Interrupting (Ctrl-C, SIGTERM) gives traffic
    back first.

    Raises:
        RolloutError: another release is under way, there is nothing to replay, or no server starts.
    """
    if (champion is None) != (champion_version is None):
        raise RolloutError("champion and champion_version go together: give both or none")
    candidate = Candidate(name, version, package)
    if champion_version == version:
        return _write(_ended(candidate, version, "promote", "it is the champion already"), [], out)
    again = () if judged is None else judged.gates
    if judged is not None and judged.verdict != "pass":
        blocked = blocked or f"it got no traffic, as its gates fail: {'; '.join(judged.reasons)}"
    if blocked:
        return _write(_ended(candidate, champion_version, "rollback", blocked), [], out, again)
    state_file = state_dir() / "rollouts" / f"{file_name(name)}.json"
    if config.kserve.service:
        return _into_kserve(candidate, champion_version, config, state_file, out, progress, promote, again)
    # A first candidate is held against its evaluation, which is on the dataset's own test samples.
    traffic = Traffic.of_training_set(training_set, windows=champion is not None)
    with ExitStack() as stack:
        stack.enter_context(terminable())
        try:
            server = _server(stack, candidate, champion, champion_version, serving, server_state)
        except LoadRefused as error:
            if champion is not None:
                raise
            refused = _ended(candidate, None, "rollback", f"the candidate cannot be loaded: {error}")
            return _write(refused, [], out)
        longest = config.deadline_seconds * (len(config.steps) + 1) + 60.0
        packages = [ModelPackage.load(one / "package.json") for one in (package, champion) if one]
        replayer = Replayer(server.url, name, traffic, Pace.of(config, packages), max_seconds=longest)
        reference = _reference(package, training_set) if champion is None else None
        rollout = Rollout(
            server,
            candidate,
            replay_margins(config, len(traffic.bodies), reference),
            replayer.outcomes,
            state_file,
            reference=reference,
            progress=progress,
            promote=promote,
        )
        with replayer:
            decision = rollout.run()
        decision = _with_traffic(decision, replayer)
        return _write(decision, rollout.looks, out, again)


def _into_kserve(
    candidate: Candidate,
    champion: str | None,
    config: ReleaseConfig,
    state_file: Path,
    out: Path,
    progress: Progress | None,
    promote: Promote | None,
    again: tuple[Gate, ...],
) -> RolloutDecision:
    """Rolls out into an InferenceService that has users: nothing is replayed, and nobody knows labels."""
    target = KServeTarget(config.kserve, candidate.model, candidate.version)
    with ExitStack() as stack:
        stack.enter_context(terminable())
        stack.callback(target.close)
        if champion is not None:
            target.adopt(champion)
        if target.champion() is None:
            raise RolloutError(
                f"InferenceService {config.kserve.service} serves no version that the registry knows as "
                "champion: promote the one it serves with `linnet models promote`"
            )
        rollout = Rollout(target, candidate, config, list, state_file, progress=progress, promote=promote)
        return _write(rollout.run(), rollout.looks, out, again)


def _server(
    stack: ExitStack,
    candidate: Candidate,
    champion: Path | None,
    champion_version: str | None,
    serving: ServingConfig,
    server_state: Path | None,
) -> EmbeddedServer:
    """The running server of this model, serving the registry's champion; or one that lives with `stack`."""
    server = None
    if server_state is not None:
        server = EmbeddedServer.find(server_state, candidate.model, candidate.version)
    if server is None:
        folder = state_dir() / "rollouts" / f"server-{os.getpid()}"
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        first = champion if champion is not None else candidate.package
        version = champion_version or candidate.version
        process = start_server(first, candidate.model, version, serving, folder)
        stack.callback(process.stop)
        url, token = process.state.url, process.state.token
        server = EmbeddedServer(url, token, candidate.model, candidate.version)
    stack.callback(server.close)
    if champion is not None and champion_version is not None and server.champion() != champion_version:
        server.load(champion_version, champion)  # it was started before the last promotion
        server.promote(champion_version)
    return server


def _reference(package: Path, training_set: Path) -> FirstReleaseBaseline:
    described = ModelPackage.load(package / "package.json")
    if "accuracy" not in described.metrics:
        raise RolloutError(f"{package}: package.json names no evaluated accuracy: package the model again")
    counts = TrainingSetManifest.load(training_set / "training_set.json").counts
    if not counts.get("test"):
        raise RolloutError(f"{training_set}: training_set.json counts no test split: build it again")
    return FirstReleaseBaseline(described.latency_p95_ms, described.metrics["accuracy"], counts["test"])


def _with_traffic(decision: RolloutDecision, replayer: Replayer) -> RolloutDecision:
    """The decision with what it rests on: how many images were replayed, where not all were.

    An inconclusive one also with what became of requests that no record of the server tells of.
    """
    if cut := replayer.traffic.cut:
        mark = RolloutMark(seconds=0.0, what=cut)
        decision = decision.model_copy(update={"marks": (mark, *decision.marks)})
    if decision.verdict != "inconclusive" or not (replayer.refused or replayer.left_out):
        return decision
    told = (
        f"{decision.reason}; of the replayed requests {replayer.refused:,} were refused as the server was "
        f"too busy (429, 503), and {replayer.left_out:,} were not sent, as too many were under way"
    )
    return decision.model_copy(update={"reason": told})


def _ended(candidate: Candidate, champion: str | None, verdict: JudgeVerdict, why: str) -> RolloutDecision:
    """The decision on a candidate that needs no traffic to be decided on."""
    return RolloutDecision(
        model=candidate.model,
        version=candidate.version,
        champion=champion,
        verdict=verdict,
        steps=(),
        reason=why,
        started_at=now(),
        ended_at=now(),
    )


def _write(
    decision: RolloutDecision, looks: list[JudgeSnapshot], out: Path, again: tuple[Gate, ...] = ()
) -> RolloutDecision:
    decision = decision.model_copy(update={"gates": again})
    decision.save(out / "rollout.json")
    (out / "rollout.html").write_text(render(decision, looks), "utf-8")
    return decision
