"""Names of the metrics that rules and dashboards ask for; a test holds them against what is exposed.

The server exposes the first group (`linnet/serving/metrics.py`), `monitoring/exposition.py` the second.
"""

from __future__ import annotations

REQUESTS = "linnet_requests_total"
"""Labels model, version, outcome (ok, rejected, failed)."""
REQUEST_SECONDS = "linnet_request_seconds"
"""Histogram; labels model, version."""
PREDICTION_SECONDS = "linnet_prediction_seconds"
"""Histogram; labels model, version."""
VALIDATION_FAILURES = "linnet_validation_failures_total"
"""Labels model, status, reason."""
MIRRORED = "linnet_mirrored_total"
"""Labels model, version, outcome."""
LAPSED = "linnet_rollouts_lapsed_total"
"""Candidates whose share nobody renewed; label model."""
SEGMENT_REQUESTS = "linnet_segment_requests_total"
"""Requests by what they say of their users; labels model, version, segment, value, outcome."""
LOADED = "linnet_model_loaded"
"""Labels model, version, role (champion, candidate, idle)."""
IN_FLIGHT = "linnet_in_flight"
QUEUE = "linnet_queue"
LOG_QUEUE = "linnet_log_queue"
LOG_DROPPED = "linnet_log_dropped_total"
CPU_SECONDS = "process_cpu_seconds_total"
MEMORY = "process_resident_memory_bytes"
MEMORY_SETTLED = "process_settled_memory_bytes"
"""The same some minutes after the process loaded what it serves; label worker."""
SERVER_TIME = "linnet_server_time_seconds"
"""The server's clock when it was asked, seconds since the epoch."""
SERVER = (
    REQUESTS, REQUEST_SECONDS, PREDICTION_SECONDS, VALIDATION_FAILURES, MIRRORED, LAPSED, LOADED, IN_FLIGHT,
    QUEUE, LOG_QUEUE, LOG_DROPPED, CPU_SECONDS, MEMORY, MEMORY_SETTLED, SERVER_TIME,
)  # fmt: skip
SERVER_GROUPS = (SEGMENT_REQUESTS,)
"""What a server exposes besides, of a model that tells groups of users apart (serving.segments)."""

BUCKETS = (
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
)  # fmt: skip
"""Upper bounds of the histograms, in seconds: a latency objective must be one of them."""

ACCURACY = "linnet_live_accuracy"
"""Accuracy on labelled feedback in the newest labelled window; labels model, version, cohort, value."""
ACCURACY_LOW = "linnet_live_accuracy_low"
ACCURACY_HIGH = "linnet_live_accuracy_high"
ACCURACY_FALL = "linnet_accuracy_fall"
"""How far accuracy is proven to lie below the cohort's own reference; labels as `ACCURACY`."""
ESTIMATED_ACCURACY = "linnet_estimated_accuracy"
"""Accuracy that calibrated confidences promise without labels; labels model, version."""
ESTIMATED_FALL = "linnet_estimated_fall"
"""How far accuracy is proven to lie below the reference by the estimate, where it holds and no labels came;
labels model, version."""
DRIFT_EFFECT = "linnet_drift_effect"
"""Effect size in the newest window; labels model, version, feature."""
DRIFT_VIOLATION = "linnet_drift_violation"
"""1 if the newest window violates; labels model, version."""
SKEW_DIFFERENCES = "linnet_skew_differences"
"""Values, and versions of libraries, that differed in the last audit; labels model, version."""
WINDOW_END = "linnet_monitoring_window_end_seconds"
"""End of the newest window, seconds since the epoch; label model."""
CONFUSION = "linnet_live_confusion"
"""Labelled requests of the newest labelled window; labels model, version, actual, predicted."""
PREDICTED_SHARE = "linnet_predicted_share"
"""Share of a predicted class; labels model, version, predicted, of (window, reference)."""
LABELS_STOPPED = "linnet_labels_stopped"
"""1 if no labels came for the newest window, where they are usual; label model."""
LABELS_CONTRADICT = "linnet_labels_contradict"
"""Share of labels that contradict sure answers in nearly every class of the newest labelled window; labels
model, version."""
CHAMPION_CREATED = "linnet_champion_created_seconds"
"""When the champion was registered, seconds since the epoch; labels model, version."""
CHAMPION_PROMOTED = "linnet_champion_promoted_seconds"
"""When the champion became it, seconds since the epoch; labels model, version."""
BAKE_REGRESSED = "linnet_bake_regressed_seconds"
"""When a new champion was proven worse than the last one after its promotion, seconds since the epoch; 0: it
was not. Labels model, version."""
RETRAINING_DECISIONS = "linnet_retraining_decisions_total"
"""Decisions in the ledger; labels model, decision (yes, no)."""
RETRAINING_BREAKER = "linnet_retraining_breaker_open"
RETRAINING_ACTIVE = "linnet_retraining_active_runs"
RETRAINING_COST = "linnet_retraining_cost_30d"
RESTARTS = "linnet_restarts_total"
"""Engine, server or console that ended though nobody stopped it, and was started again; label process."""
MONITOR = (
    ACCURACY, ACCURACY_LOW, ACCURACY_HIGH, ACCURACY_FALL, ESTIMATED_ACCURACY, ESTIMATED_FALL, DRIFT_EFFECT,
    DRIFT_VIOLATION, SKEW_DIFFERENCES, WINDOW_END, CONFUSION, PREDICTED_SHARE, CHAMPION_CREATED,
    CHAMPION_PROMOTED, BAKE_REGRESSED, LABELS_STOPPED, LABELS_CONTRADICT, RETRAINING_DECISIONS,
    RETRAINING_BREAKER, RETRAINING_ACTIVE, RETRAINING_COST, RESTARTS,
)  # fmt: skip
