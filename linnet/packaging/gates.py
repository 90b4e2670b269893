"""The gates of the package: parity, latency and size against thresholds. Pure."""

from __future__ import annotations

import math

from linnet.config import GatesConfig
from linnet.packaging.parity import Parity
from linnet.records import Gate, GateDecision


def evaluate_package_gates(
    parity: Parity, p95_ms: float, requests: int, size_mb: float, config: GatesConfig
) -> GateDecision:
    """The verdict: `pass` only if every gate passes.

    `p95_ms` NaN: latency was not measured, because the model was refused before; that does not pass.
    """
    words = f"p95 of {requests} single-image requests to the real server is {p95_ms:.1f} ms"
    if math.isnan(p95_ms):
        words = "latency was not measured: a model that differs from the trained one is not served"
    gates = (
        Gate(
            name="parity",
            value=parity.agreement,
            comparator=">=",
            threshold=config.min_parity,
            passed=parity.agreement >= config.min_parity,
            evidence=(
                f"ONNX and torch give the same answer for {parity.agreement:.4%} of {parity.samples:,} test "
                f"images (at least {config.min_parity:.4%} is asked); numbers differ by at most "
                f"{parity.max_difference:.2g}"
            ),
        ),
        Gate(
            name="latency_p95",
            value=p95_ms,
            comparator="<=",
            threshold=config.max_latency_p95_ms,
            passed=p95_ms <= config.max_latency_p95_ms,
            evidence=f"{words}; at most {config.max_latency_p95_ms:g} ms is allowed",
        ),
        Gate(
            name="size",
            value=size_mb,
            comparator="<=",
            threshold=config.max_size_mb,
            passed=size_mb <= config.max_size_mb,
            evidence=f"model.onnx has {size_mb:.2f} MB; at most {config.max_size_mb:g} MB is allowed",
        ),
    )
    verdict = "pass" if all(gate.passed for gate in gates) else "fail"
    return GateDecision(stage="package", verdict=verdict, gates=gates)
