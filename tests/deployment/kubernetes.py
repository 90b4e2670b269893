"""A stand-in for the Kubernetes API with one InferenceService, its controller, and its revisions' metrics.

It checks objects against KServe's schema, refuses writes to an object that was changed since it was read
(409), makes revisions and splits traffic as KServe does, and shows what queue-proxies would count, for a
real Prometheus to scrape.
"""

from __future__ import annotations

import copy
import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jsonschema
import numpy as np
import numpy.typing as npt

from linnet.deployment.prometheus import DIALECTS
from tests.deployment.inference_service import INFERENCE_SERVICE

PATH = "/apis/serving.kserve.io/v1beta1/namespaces/shop/inferenceservices/photos"
BOUNDS = [1, 2, 5, 8, 10, 12, 15, 20, 25, 30, 40, 50, 75, 100, 150, 200, 300, 500, 1000]
"""Upper bounds of the buckets in ms."""


@dataclass(slots=True)
class Behavior:
    """How the revision of a package answers."""

    error_rate: float = 0.0
    median_ms: float = 20.0
    loads: bool = True


@dataclass(slots=True)
class Cluster:
    """The stand-in's state. `behaviors` maps storage URIs to how their revisions answer."""

    behaviors: dict[str, Behavior]
    rate: float = 3000.0
    """Requests a second that users send."""
    rivals: int = 0
    """So many of the next writes find that somebody else wrote first."""
    service: dict[str, Any] = field(default_factory=dict)
    revisions: dict[str, str] = field(default_factory=dict)
    """Revision -> storage URI."""
    percents: list[int | None] = field(default_factory=list)
    """Every share that was set."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    counts: dict[tuple[str, str], npt.NDArray[np.int64]] = field(default_factory=dict)
    """(revision, status) -> requests by bucket."""
    sums: dict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(float))
    counted_at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.service = {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {"name": "photos", "namespace": "shop", "resourceVersion": "1", "generation": 1},
            "spec": {
                "predictor": {
                    "model": {"modelFormat": {"name": "onnx"}, "storageUri": "pvc://models/photos/1"}
                }
            },
        }
        self._reconcile(None)

    @property
    def predictor(self) -> dict[str, Any]:
        found: dict[str, Any] = self.service["spec"]["predictor"]
        return found

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.service["status"]["components"]["predictor"]
        return found

    def put(self, body: Any) -> tuple[int, dict[str, Any]]:
        """Replaces the object, as the API server does."""
        self.count()
        try:
            jsonschema.validate(body, INFERENCE_SERVICE)
        except jsonschema.ValidationError as error:
            return 422, _failure(422, "Invalid", error.message)
        version = body["metadata"].get("resourceVersion")
        if self.rivals:
            self.rivals -= 1
            self._bump()
        if version != self.service["metadata"]["resourceVersion"]:
            return 409, _failure(409, "Conflict", "the object has been modified")
        before = copy.deepcopy(self.service)
        self.service = copy.deepcopy(body)
        self.service["status"] = before["status"]  # a subresource: writes to the object leave it alone
        if body["spec"] != before["spec"]:
            self.service["metadata"]["generation"] = before["metadata"]["generation"] + 1
        self._bump()
        self.percents.append(self.predictor.get("canaryTrafficPercent"))
        self._reconcile(before)
        return 200, self.service

    def shares(self) -> dict[str, float]:
        """Share of the traffic of each revision."""
        return {item["revisionName"]: item["percent"] / 100 for item in self.status["traffic"]}

    def count(self) -> None:
        """Lets the users' requests since the last call be answered."""
        now = time.monotonic()
        total, self.counted_at = (now - self.counted_at) * self.rate, now
        rng = np.random.default_rng(int(now * 1e6))
        for revision, share in self.shares().items():
            behavior = self.behaviors[self.revisions[revision]]
            latencies = behavior.median_ms * rng.lognormal(0.0, 0.5, round(total * share))
            fails = rng.random(len(latencies)) < behavior.error_rate
            for status, chosen in (("2xx", latencies[~fails]), ("5xx", latencies[fails])):
                buckets = np.bincount(np.searchsorted(BOUNDS, chosen), minlength=len(BOUNDS) + 1)
                before = self.counts.get((revision, status), np.zeros_like(buckets))
                self.counts[revision, status] = before + buckets
                self.sums[revision, status] += float(chosen.sum())

    def metrics(self) -> str:
        """The text format that Prometheus scrapes, in the names of Knative up to 1.18."""
        self.count()
        name = DIALECTS["knative"].metric.removesuffix("_bucket")
        lines = [f"# TYPE {name} histogram"]
        for (revision, status), buckets in self.counts.items():
            labels = f'namespace_name="shop",revision_name="{revision}",response_code_class="{status}"'
            labels += f',pod_name="{revision}-a"'
            below = 0
            for bound, number in zip([*map(str, BOUNDS), "+Inf"], buckets, strict=True):
                below += int(number)
                lines.append(f'{name}_bucket{{{labels},le="{bound}"}} {below}')
            lines += [
                f"{name}_count{{{labels}}} {below}",
                f"{name}_sum{{{labels}}} {self.sums[revision, status]}",
            ]
            # another team's service of the same name, in a namespace of its own: its second one fails always
            other = labels.replace('"shop"', '"garage"').replace("2xx", "5xx")
            if status == "2xx" and revision.endswith("-00002"):
                lines += [f'{name}_bucket{{{other},le="{bound}"}} {below}' for bound in (*BOUNDS, "+Inf")]
        return "\n".join(lines) + "\n"

    def _bump(self) -> None:
        metadata = self.service["metadata"]
        metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)

    def _reconcile(self, before: dict[str, Any] | None) -> None:
        """What KServe's controller does with a new spec: revisions, readiness, traffic."""
        uri = self.predictor["model"]["storageUri"]
        old = before["status"]["components"]["predictor"] if before else {}
        model: dict[str, Any] = {"transitionStatus": "UpToDate"}
        if before is None or before["spec"]["predictor"]["model"]["storageUri"] != uri:
            created = f"photos-predictor-{len(self.revisions) + 1:05d}"
            self.revisions[created] = uri
        else:
            created = old["latestCreatedRevision"]
        loads = self.behaviors[self.revisions[created]].loads
        ready = created if loads else old["latestReadyRevision"]
        if not loads:
            info = {"message": "model.onnx is damaged", "reason": "ModelLoadFailed"}
            model = {"transitionStatus": "BlockedByFailedLoad", "lastFailureInfo": info}
        percent = self.predictor.get("canaryTrafficPercent")
        rolled = ready if percent is None else old.get("latestRolledoutRevision", ready)
        traffic = [{"latestRevision": True, "revisionName": ready, "percent": 100}]
        if percent is not None and rolled != ready:
            traffic = [
                {"latestRevision": True, "revisionName": ready, "percent": percent},
                {"latestRevision": False, "revisionName": rolled, "percent": 100 - percent, "tag": "prev"},
            ]
        self.service["status"] = {
            "observedGeneration": self.service["metadata"]["generation"],
            "modelStatus": model,
            "components": {
                "predictor": {
                    "latestCreatedRevision": created,
                    "latestReadyRevision": ready,
                    "latestRolledoutRevision": rolled,
                    "traffic": traffic,
                }
            },
        }
        jsonschema.validate(self.service, INFERENCE_SERVICE)


def _failure(code: int, reason: str, message: str) -> dict[str, Any]:
    return {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}


@contextmanager
def serving(cluster: Cluster) -> Iterator[str]:
    """Serves the stand-in on a free port; gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            with cluster.lock:
                if self.path == "/metrics":
                    self._send(200, cluster.metrics().encode(), "text/plain; version=0.0.4")
                elif self.path == PATH:
                    self._send(200, json.dumps(cluster.service).encode())
                else:
                    self._send(404, json.dumps(_failure(404, "NotFound", f"{self.path} not found")).encode())

        def do_PUT(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with cluster.lock:
                status, answer = cluster.put(body)
            self._send(status, json.dumps(answer).encode())

        def _send(self, status: int, body: bytes, kind: str = "application/json") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            with suppress(BrokenPipeError):  # Prometheus was killed, or had no more patience
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
