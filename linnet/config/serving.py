"""Sections of the release and of the server."""

from __future__ import annotations

from typing import ClassVar, Literal, Self, get_args

from pydantic import Field, model_validator

from linnet.config.class_names import normal, problem_of
from linnet.config.places import Address, Addresses, Code, Credential
from linnet.config.section import Fraction, Section

JudgedMetric = Literal[
    "errors", "validity", "median", "p95", "p99", "agreement", "class_mix", "confidence", "accuracy"
]
Isolate = Literal["auto", "always", "never"]
JUDGED_METRICS: tuple[JudgedMetric, ...] = get_args(JudgedMetric)


SEEN_BY_KSERVE: tuple[JudgedMetric, ...] = ("errors", "median", "p95", "p99")


OTHER, NOT_TOLD = "other", "none"
"""What a segment's value counts as that is not declared, and as that a request does not name."""
RESERVED_COHORTS = ("all", "class", "brightness")
"""Columns of cohorts that have a meaning of their own."""
MOST_SEGMENTS, MOST_VALUES = 8, 50


class KServeConfig(Section):
    """Where a release finds its InferenceService. Empty `service`: releases use Linnet's own server."""

    service: Address = ""
    """Name of the InferenceService."""
    namespace: Address = "default"
    """Its namespace."""
    storage_uri: Address = "pvc://models/{model}/{version}"
    """Where the package of a version lies for KServe; {model} and {version} are filled in."""
    prometheus_url: Address = "http://prometheus.monitoring.svc:9090"
    """Prometheus that scrapes the revisions."""
    metrics: Literal["knative", "knative-otel"] = "knative-otel"
    """Names of the metrics: `knative` up to Knative 1.18, `knative-otel` from 1.19."""
    api_url: Address = "https://kubernetes.default.svc"
    """The Kubernetes API."""
    token_file: Credential = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105
    """File with the token that opens it; none is sent if there is no such file."""
    ca_file: Credential = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
    """File with the certificate of its authority."""
    ready_seconds: float = Field(default=300.0, gt=0)
    """Longest time that a new revision may take to be ready."""


class ReleaseConfig(Section):
    renamed: ClassVar = {
        "rate": "replay_rps",
        "bake_seconds": "min_step_seconds",
        "mirror": "shadow_fraction",
        "look_seconds": "check_interval_seconds",
        "first_latency_p95_ms": "first_release_latency_p95_ms",
        "first_latency_ratio": "first_release_max_latency_ratio",
    }
    steps: tuple[int, ...] = (1, 5, 25, 50, 100)
    """Percent of traffic that goes to the candidate, a step each; rising, ending in 100. The step
    before 100 lasts until everything is proven, so it should be a large one."""
    replay_rps: float = Field(default=200.0, gt=0, le=5000)
    """Requests a second that the replayer sends; less where a package is too slow for that: then 70 % of
    what it answered one after another. Times `deadline_seconds` it is the volume that a step may take to be
    decided (60,000 requests by default; about 12,000 are usual)."""
    min_requests: int = Field(default=30, ge=1)
    """Fewest requests that the candidate computed in a step before the next may begin."""
    deadline_seconds: float = Field(default=300.0, gt=0)
    """A step that is still inconclusive after this long is rolled back."""
    metrics: tuple[JudgedMetric, ...] = JUDGED_METRICS
    """What is judged; each must be proven before a promotion. Leave out what your traffic cannot show,
    such as accuracy where no labels come."""
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    """Bound on the probability of rolling back a candidate that is no worse, over all metrics and looks;
    split evenly over the metrics."""
    beta: float = Field(default=0.01, gt=0, lt=0.5)
    """Bound on the probability of promoting a candidate that is worse than a margin, over all looks."""
    shadow_fraction: Fraction = Field(default=0.5, ge=0, le=1)
    """Share of requests that the version that does not answer them computes too, to be compared."""
    min_step_seconds: float = Field(default=2.0, ge=0)
    """Shortest time that a step lasts."""
    bake_hours: float = Field(default=24.0, ge=0)
    """After its canary a new champion is on trial for this long: what it serves to everybody is held against
    the last champion, and one that is proven worse is rolled back by itself, which pages. 0: no trial. One
    that a person promoted is not judged."""
    bake_images: int = Field(default=50_000, ge=100)
    """Most labelled images of that time that the last champion is asked about, too. Failures, latencies and
    labels are counted over all."""
    bake_label_days: float = Field(default=7.0, ge=0)
    """Labels that come this long after it still count for what was served in it."""
    check_interval_seconds: float = Field(default=0.25, gt=0)
    """Time between two looks of the judge; its error bound holds however often it looks."""
    approval: Literal["none", "promotion", "steps"] = "none"
    """Where `linnet rollout approve` is waited for: nowhere, before the step to 100 %, or before every
    further step. The judge keeps looking meanwhile."""
    approval_seconds: float = Field(default=86_400.0, gt=0)
    """A rollout that waits for a person (approval or pause) longer than this is inconclusive."""
    max_error_increase: Fraction = Field(default=0.005, gt=0, le=1)
    """Non-inferiority margin of the shares of failed requests and of invalid predictions; without a
    champion the largest error rate."""
    max_latency_ratio: float = Field(default=1.15, gt=1)
    """The candidate's median, p95 and p99 latency may be at most this many times the champion's."""
    median_floor_ms: float = Field(default=1.0, ge=0)
    """A median that is longer by less than this many milliseconds is never held against a candidate."""
    latency_floor_ms: float = Field(default=1.0, ge=0)
    """The same for p95 and p99."""
    first_release_latency_p95_ms: float = Field(default=50.0, gt=0)
    """Without a champion: p95 latency that is accepted at least, whatever the package measured alone: a
    model that answers in a millisecond may take this long."""
    first_release_max_latency_ratio: float = Field(default=8.0, gt=1)
    """Without a champion: p95 latency that is accepted, as a multiple of what the package measured alone. The
    package was asked one thing at a time; traffic queues, and the machine may be busier by now (4.6 times was
    seen on two cores with one other busy process)."""
    min_agreement: Fraction = Field(default=0.7, ge=0, le=1)
    """How far, on average, candidate and champion must answer mirrored requests alike, 0 to 1."""
    max_class_shift: Fraction = Field(default=0.1, gt=0, le=1)
    """The share of any predicted class may differ by at most this from the champion's."""
    max_confidence_shift: Fraction = Field(default=0.1, gt=0, le=1)
    """The mean confidence may differ by at most this from the champion's."""
    max_accuracy_drop: Fraction = Field(default=0.05, gt=0, le=1)
    """Accuracy on the labelled requests may be lower by less than this. Of few replayed images chance alone
    makes more: then that counts instead, here, for `max_class_shift` and for `min_agreement`."""
    kserve: KServeConfig = KServeConfig()
    """Release into a KServe InferenceService; then `metrics` may name only what its revisions show:
    errors, median, p95 and p99."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        rising = all(a < b for a, b in zip(self.steps, self.steps[1:], strict=False))
        if not self.steps or not rising or self.steps[0] < 1 or self.steps[-1] != 100:
            raise ValueError("steps: must rise from at least 1 to exactly 100, such as [1, 25, 100]")
        if not self.metrics or len(set(self.metrics)) != len(self.metrics):
            raise ValueError("metrics: name at least one, and none twice")
        unseen = [metric for metric in self.metrics if metric not in SEEN_BY_KSERVE]
        if self.kserve.service and unseen:
            raise ValueError(
                f"metrics: KServe's revisions do not show {', '.join(unseen)}; "
                f"judge {', '.join(SEEN_BY_KSERVE)} or fewer"
            )
        return self


OF_THE_SERVER = (
    *("host", "port", "workers", "threads", "isolate", "memory_mb", "lease_seconds", "read_timeout_seconds"),
    *("origins", "hosts", "max_tensor_mb", "buffers_mb", "max_answer_mb", "feedback_labels", "feedback_mb"),
    *("refused_mb", "refused_days"),
)
"""Settings that a server has once, whatever it serves; the others are a model's own."""


class ServingConfig(Section):
    renamed: ClassVar = {
        "queue": "max_in_flight",
        "request_seconds": "read_timeout_seconds",
        "log_image_blocks": "log_image_pixelate",
    }
    moved: ClassVar[dict[str, str]] = {
        "max_pixels": "set data.max_pixels: training and server take the same images, as the model says"
    }
    host: Address = "127.0.0.1"
    """Address the server binds to."""
    port: int = Field(default=8090, ge=0, le=65535)
    """Port the server binds to; 0 takes a free one."""
    workers: int = Field(default=0, ge=0, le=64)
    """Worker processes that serve, each with its own sessions; 0: as many as there are cores."""
    threads: int = Field(default=0, ge=0)
    """ONNX Runtime threads a session; 0: the cores divided by the workers."""
    isolate: Isolate = "auto"
    """Whether a model's ONNX session runs in a process of its own, so that a crash of its native code harms
    no other: `auto` where the server has several models (which costs each request a hand-over, and memory
    a process, version and worker), `always` or `never`."""
    memory_mb: float = Field(default=0.0, ge=0)
    """Memory that loaded models may take, over all workers, in megabytes; 0: as much as they need. To make
    room the model that was asked longest ago is unloaded, but for one that is being rolled out; it is loaded
    again by its next request. The model that is asked stays loaded, however much it takes."""
    lease_seconds: float = Field(default=30.0, gt=0, le=86_400)
    """A candidate keeps its share of the traffic this long after the judge of its rollout was last heard;
    then all of it goes back to the champion, whoever died. Routing by hand may ask for longer."""
    max_in_flight: int = Field(default=256, ge=1)
    """Requests that may be answered or wait at one moment, over all workers; more get 429."""
    max_batch: int = Field(default=32, ge=1)
    """Most images of queued requests that run together."""
    deadline_seconds: float = Field(default=10.0, gt=0)
    """A request that waited longer for the model gets 503; the header Linnet-Timeout may ask for less."""
    read_timeout_seconds: float = Field(default=8.0, gt=0)
    """A request must have arrived whole this long after its first byte, or the connection is closed."""
    require_key: bool = False
    """Whether inference needs an API key (`linnet keys create`), as admin routes always do."""
    origins: Addresses = ()
    """Origins of web pages that may send requests, such as https://shop.example; programs need none."""
    hosts: Addresses = ()
    """Names that clients may call this server by in requests that change something (admin, feedback),
    beside its addresses and localhost; empty: any, where `host` is not a loopback address."""
    feature_source: Code = ""
    """Function that looks features up by entity key (`linnet.features.serve:online_statistics` is
    Feast's); empty: features come from the pixels or the request."""
    max_body_mb: float = Field(default=100.0, gt=0)
    """Largest request body in megabytes; where it is not set, at least `data.max_image_mb`.
    What an image may be the model itself says: `data.max_image_mb` and `data.max_pixels` travel with it."""
    max_tensor_mb: float = Field(default=8.0, gt=0)
    """Largest body of a request that brings tensors (`/v2/models/NAME/infer`), in megabytes: JSON takes about
    30 times its size in memory."""
    buffers_mb: float = Field(default=256.0, gt=0)
    """Bodies being received or answered, and answers that clients do not take, in megabytes over all
    workers; a body beyond it gets 503."""
    max_answer_mb: float = Field(default=32.0, gt=0)
    """Largest answer in megabytes; a request of more images than fit into it gets 413."""
    log_queue_mb: float = Field(default=128.0, gt=0)
    """Arrays of log records that may wait to be written, in megabytes over all workers; records beyond
    it are dropped, and counted."""
    segments: dict[str, tuple[str, ...]] = Field(default={})
    """Groups of users that are told apart, by the values that a request may name, such as
    store = ["de", "fr"]: in the header `Linnet-Segments: store=de`, or among the `parameters` of an
    inference request. They go to log, metrics, windows, accuracy, judges and alerts. A value that is not
    listed counts as `other`, and what a request does not name as `none`."""
    log_sample: float = Field(default=30.0, ge=0, le=6000)
    """Images a minute that are kept in the prediction log at most, whatever the traffic: half are drawn at
    random, which finds drift; half are those that people should be asked about. 0: none. They are what users
    sent: `log_image_days` and `log_images_mb` say for how long, and `log_image_pixelate` makes them
    unreadable."""
    log_images: Fraction = Field(default=0.0, ge=0, le=1)
    """Share of requests whose input image is kept besides."""
    log_images_mb: float = Field(default=1024.0, gt=0)
    """The newest files of the prediction log, of this size in megabytes, keep their images; from older ones
    these are deleted, every hour."""
    log_queue: int = Field(default=10_000, ge=1)
    """Log records that may wait to be written; more are dropped, and counted."""
    feedback_labels: int = Field(default=100_000, ge=1)
    """Newest labels of POST /feedback that the server remembers, so that sending one again writes nothing;
    an older one that is sent again is written again, which changes no result."""
    feedback_mb: float = Field(default=1024.0, gt=0)
    """Largest size of the label files in the log folder, in megabytes; labels beyond it get 503 until
    some were moved away. Anyone who may ask for predictions may send labels."""
    log_image_pixelate: int = Field(default=0, ge=0)
    """Kept images are averaged over blocks of this many pixels a side, so that nothing small in them can
    be read; 0: as they were."""
    refused_keep: int = Field(default=500, ge=0, le=100_000)
    """Requests that the server refused or failed on that are kept, the newest, so that somebody can look at
    them and send them again (`linnet requests refused`); 0: none. At most ten at once and one a second of a
    model and reason; bodies of up to 4 MB, and none where `log_image_pixelate` redacts images."""
    refused_mb: float = Field(default=50.0, gt=0)
    """Largest size of what is kept of them, in megabytes."""
    refused_days: float = Field(default=7.0, gt=0)
    """They are deleted after this many days."""
    log_image_days: float = Field(default=30.0, gt=0)
    """Kept images are deleted after this many days; the rest of the log stays."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.segments) > MOST_SEGMENTS:
            raise ValueError(f"segments: {len(self.segments)} are declared, at most {MOST_SEGMENTS} may be")
        for name, values in self.segments.items():
            if not name.isidentifier() or len(name) > 64 or name in RESERVED_COHORTS:
                taken = ", ".join(RESERVED_COHORTS)
                raise ValueError(
                    f"segments: {name[:60]!r} must be 1 to 64 letters, digits and _, and none of {taken}"
                )
            if not 1 <= len(values) <= MOST_VALUES or len(set(values)) < len(values):
                raise ValueError(f"segments: {name} must name 1 to {MOST_VALUES} values, none twice")
            for value in values:
                outer = value != value.strip() or not 0 < len(value) <= 64 or "," in value
                if outer or problem_of(normal(value)) or value in (OTHER, NOT_TOLD):
                    raise ValueError(
                        f"segments: {value[:70]!r} cannot be a value of {name}: it must be 1 to 64 "
                        "characters without a comma, control characters or outer spaces, "
                        f"and neither {OTHER} nor {NOT_TOLD}"
                    )
        return self
