"""Settings that are texts and name nothing outside a run: each new one is a person's decision."""

from __future__ import annotations

FREE = {
    "data.revision", "data.classes", "data.cohorts", "data.captured_at", "data.group", "train.backbone",
    "train.weights_sha256", "labels.project", "features.service", "gates.unjudged_classes",
    "registry.model", "cost.currency", "engine.allowed_hosts", "engine.trusted_configs",
    "service_levels.critical_cohorts", "service_levels.runbooks", "service_levels.page_slack",
    "service_levels.ticket_slack", "service_levels.page_email", "service_levels.ticket_email",
    "service_levels.smtp_from", "service_levels.smtp_user", "service_levels.owner", "service_levels.on_call",
    "service_levels.escalation", "cluster.claim", "cluster.accelerator",
}  # fmt: skip
"""Texts that name nothing outside a run; those of OWNERS are no run's parameters."""
OWNERS = ("engine.", "service_levels.", "cluster.")
