"""What a server's metrics and its machine show of an incident."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from linnet.monitoring import metric_names as names
from linnet.monitoring.server_health import ServerHealth


def server_symptoms(text: str, model: str, at: float) -> dict[str, Any]:
    """Fields of `Symptoms`, from the text of /metrics, asked for at `at` (seconds since the epoch)."""
    from prometheus_client.parser import text_string_to_metric_families

    refused: dict[int, int] = {}
    reasons: dict[str, int] = {}
    found: dict[str, Any] = {"computed": 0, "refused": refused, "refused_for": reasons, "serving": None}
    health = ServerHealth()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = sample.labels
            health.take(sample.name, labels, sample.value, at)
            if labels.get("model", model) != model:
                continue
            if sample.name == names.REQUESTS and labels["outcome"] != "rejected":
                found["computed"] += int(sample.value)
            elif sample.name == names.VALIDATION_FAILURES:
                refused[int(labels["status"])] = refused.get(int(labels["status"]), 0) + int(sample.value)
                if reason := labels.get("reason"):
                    reasons[reason] = reasons.get(reason, 0) + int(sample.value)
            elif sample.name == names.LOADED and labels["role"] in ("champion", "asleep") and sample.value:
                found["serving"] = labels["version"]
            elif sample.name == names.QUEUE:
                found["queue"] = int(sample.value)
            elif sample.name == names.LOG_DROPPED:
                found["log_dropped"] = found.get("log_dropped", 0) + int(sample.value)
    return {**found, "memory_growth": health.memory_growth, "clock": health.clock}


def machine_symptoms(disk: Path) -> tuple[dict[str, Any], str]:
    """Fields of `Symptoms`, and what could not be seen. `disk`: a place on the disk that matters."""
    folder = next(path for path in (disk, *disk.parents) if path.exists())
    usage = shutil.disk_usage(folder)
    found = {"disk_free": usage.free / usage.total}
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        kilobytes = {key: int(lines[key].split()[0]) for key in ("MemTotal", "MemAvailable")}
        found["memory_free"] = kilobytes["MemAvailable"] / kilobytes["MemTotal"]
    except (OSError, KeyError, ValueError):
        return found, "the memory in use is not known on this system"
    return found, ""
