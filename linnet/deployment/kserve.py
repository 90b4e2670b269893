"""A KServe InferenceService as a traffic target: `canaryTrafficPercent`, and metrics by revision.

KServe (serverless mode) keeps the revision that last had all traffic and splits it with the latest one
by `spec.predictor.canaryTrafficPercent`; without that field the latest revision gets everything
(https://kserve.github.io/website/docs/model-serving/predictive-inference/rollout-strategies/canary).
Which version a revision is stands in annotations of the service. Every change is made to the object as
it was read: if somebody else changed it meanwhile, the API server refuses (409), and it is read again.
"""

from __future__ import annotations

import copy
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from linnet.config import KServeConfig
from linnet.deployment.prometheus import DIALECTS, PrometheusRecords, present_ms
from linnet.deployment.traffic import LoadRefused
from linnet.errors import RolloutError
from linnet.records import ServedRecord

ANSWER_SECONDS = 10.0
TRIES = 5
"""Attempts to change the object while others change it too."""
POLL_SECONDS = 1.0
CHAMPION, CHAMPION_URI, CANDIDATE = (
    f"linnet.dev/{name}" for name in ("champion", "champion-storage-uri", "candidate")
)
Object = dict[str, Any]


class KServeTarget:
    """A `TrafficTarget` over one InferenceService. `candidate` is the version that is being released."""

    lost = 0
    """Metrics count every request."""

    def __init__(self, config: KServeConfig, model: str, candidate: str) -> None:
        self._config, self._model, self._candidate = config, model, candidate
        api = "/apis/serving.kserve.io/v1beta1"
        self._path = f"{api}/namespaces/{config.namespace}/inferenceservices/{config.service}"
        headers = {}
        if config.token_file and Path(config.token_file).exists():
            headers["Authorization"] = f"Bearer {Path(config.token_file).read_text('utf-8').strip()}"
        verify: ssl.SSLContext | bool = True
        if config.ca_file and Path(config.ca_file).exists():
            verify = ssl.create_default_context(cafile=config.ca_file)
        self._client = httpx.Client(
            base_url=config.api_url.rstrip("/"), headers=headers, verify=verify, timeout=ANSWER_SECONDS,
            trust_env=False,
        )  # fmt: skip
        self._metrics = PrometheusRecords(config.prometheus_url, config.namespace, DIALECTS[config.metrics])

    def close(self) -> None:
        """Closes connections."""
        self._client.close()
        self._metrics.close()

    def champion(self) -> str | None:
        """The version that answers by default, as the service's annotation says."""
        found: str | None = _annotations(self._read()).get(CHAMPION)
        return found

    def adopt(self, version: str) -> None:
        """Notes that what the service runs is the champion `version`; without effect if it has one."""

        def change(service: Object) -> None:
            notes = _annotations(service)
            notes.setdefault(CHAMPION, version)
            notes.setdefault(CHAMPION_URI, _model(service).get("storageUri", ""))

        self._change(change)

    def load(self, version: str, package: Path) -> None:
        """Makes a revision of the version, without traffic, and waits until it is ready.

        The package lies where the config's `storage_uri` says; `package` names it in messages.

        Raises:
            LoadRefused: it does not become ready, and is taken back.
        """

        def change(service: Object) -> None:
            notes = _annotations(service)
            if notes.get(CANDIDATE) != version:
                service["spec"]["predictor"]["canaryTrafficPercent"] = 0
                _model(service)["storageUri"] = self._uri(version)
                notes[CANDIDATE] = version

        if self.champion() == version:
            return
        generation = self._change(change)["metadata"].get("generation", 0)
        until = time.monotonic() + self._config.ready_seconds
        problem = "it was not ready in time"
        while time.monotonic() < until:
            service = self._read()
            status = service.get("status", {})
            if status.get("observedGeneration", 0) >= generation:
                predictor = _predictor_status(service)
                if predictor.get("latestReadyRevision") == predictor.get("latestCreatedRevision"):
                    return
                failure = status.get("modelStatus", {})
                if failure.get("transitionStatus") in ("BlockedByFailedLoad", "InvalidSpec"):
                    problem = failure.get("lastFailureInfo", {}).get("message", "the model failed to load")
                    break
            time.sleep(min(POLL_SECONDS, self._config.ready_seconds / 10))
        self.route(None, 0, 0.0)
        self.unload(version)
        raise LoadRefused(f"{package.name} as version {version}: {problem}")

    def unload(self, version: str) -> None:
        """Goes back to the champion's package; a version that is not loaded is no error."""

        def change(service: Object) -> None:
            notes = _annotations(service)
            if notes.get(CANDIDATE) == version:
                del notes[CANDIDATE]
                _model(service)["storageUri"] = notes[CHAMPION_URI]
                service["spec"]["predictor"].pop("canaryTrafficPercent", None)

        self._change(change)

    def route(self, candidate: str | None, percent: int, mirror: float) -> None:  # noqa: ARG002
        """Sets the canary's share; KServe mirrors nothing."""

        def change(service: Object) -> None:
            known = _annotations(service).get(CANDIDATE)
            if candidate is not None and known != candidate:
                raise RolloutError(f"version {candidate} is not loaded in {self._config.service}")
            if known is not None:
                service["spec"]["predictor"]["canaryTrafficPercent"] = percent if candidate else 0

        self._change(change)

    def renew(self, candidate: str) -> bool:  # noqa: ARG002
        """Always True: Knative knows no lease, the share stays until somebody changes it."""
        return True

    def promote(self, version: str) -> None:
        """Gives the candidate's revision everything, and calls it champion."""

        def change(service: Object) -> None:
            notes = _annotations(service)
            if notes.get(CHAMPION) == version:
                return
            if notes.get(CANDIDATE) != version:
                raise RolloutError(f"version {version} is not loaded in {self._config.service}")
            service["spec"]["predictor"].pop("canaryTrafficPercent", None)
            notes[CHAMPION], notes[CHAMPION_URI] = version, _model(service)["storageUri"]
            del notes[CANDIDATE]

        self._change(change)

    def records(self, after: int) -> tuple[int, list[ServedRecord]]:
        """What ended since the cursor (ms since the epoch), by the metrics of both revisions."""
        until = present_ms()
        if after < 0:
            return until, []
        service = self._read()
        predictor, notes = _predictor_status(service), _annotations(service)
        versions = {
            predictor.get("latestRolledoutRevision", ""): notes.get(CHAMPION, ""),
            predictor.get("latestReadyRevision", ""): notes.get(CANDIDATE, ""),
        }
        versions = {revision: version for revision, version in versions.items() if revision and version}
        if len(versions) < 2:
            raise RolloutError(f"{self._config.service} does not run two revisions any more")
        return until, self._metrics.between(after, until, versions)

    def _uri(self, version: str) -> str:
        return self._config.storage_uri.format(model=self._model, version=version)

    def _read(self) -> Object:
        return self._ask("GET", None)

    def _change(self, change: Callable[[Object], None]) -> Object:
        """Changes the object as it is now; reads it again if somebody was faster."""
        champion = None
        for attempt in range(TRIES):
            service = self._read()
            found = _annotations(service).get(CHAMPION)
            if attempt and found != champion:
                raise RolloutError(
                    f"somebody made {found or 'nothing'} the champion of {self._config.service} meanwhile"
                )
            champion = found
            before = copy.deepcopy(service)
            change(service)
            if service == before:
                return service
            try:
                return self._ask("PUT", service)
            except _Conflict:
                continue
        raise RolloutError(f"{self._config.service} is being changed by others all the time: try again later")

    def _ask(self, method: str, body: Object | None) -> Object:
        try:
            answer = self._client.request(method, self._path, json=body)
            content: Object = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise RolloutError(
                f"the Kubernetes API at {self._config.api_url} does not answer: {error or type(error)}"
            ) from error
        if answer.status_code == 409:
            raise _Conflict(str(content.get("message")))
        if answer.is_error:
            raise RolloutError(
                f"{method} InferenceService {self._config.namespace}/{self._config.service} was refused "
                f"({answer.status_code}): {content.get('message', '')}"
            )
        return content


class _Conflict(RolloutError):
    """The object was changed since it was read."""


def _annotations(service: Object) -> Object:
    notes: Object = service["metadata"].setdefault("annotations", {})
    return notes


def _model(service: Object) -> Object:
    model: Object = service["spec"]["predictor"].setdefault("model", {})
    return model


def _predictor_status(service: Object) -> Object:
    found: Object = service.get("status", {}).get("components", {}).get("predictor", {})
    return found
