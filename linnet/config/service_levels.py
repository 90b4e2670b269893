"""Section of the service levels: objectives that users rely on, and who is told when one is missed."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from linnet.config.places import Address
from linnet.config.section import Fraction, Section


class ServiceLevelsConfig(Section):
    availability: Fraction = Field(default=0.999, gt=0, lt=1)
    """Share of valid requests that must be answered, over 30 days; the rest is the error budget."""
    latency: Fraction = Field(default=0.99, gt=0, lt=1)
    """Share of requests that must be answered within `latency_ms`, over 30 days."""
    latency_ms: float = Field(default=100.0, gt=0)
    """How fast is fast enough, in milliseconds; must be a bucket of the server's histogram."""
    valid_input: Fraction = Field(default=0.99, gt=0, lt=1)
    """Share of requests that should pass input validation, over 30 days."""
    cohort_accuracy: Fraction = Field(default=0.8, gt=0, lt=1)
    """A critical cohort's live accuracy must not be proven to lie below this."""
    page_accuracy_gap: Fraction = Field(default=0.1, gt=0, lt=1)
    """A live accuracy that is proven to lie further than this below `cohort_accuracy` pages; less is a
    ticket."""
    max_accuracy_fall: Fraction = Field(default=0.03, gt=0, lt=1)
    """Live accuracy, of all images, of a class or of a group of users, that is proven to lie further than
    this below what that cohort had is a ticket; further by `page_accuracy_gap` pages."""
    critical_cohorts: tuple[str, ...] = ()
    """Cohorts that `cohort_accuracy` holds for, as `column=value`: a class, such as class=Shirt, or a group
    of users that `serving.segments` declares. It holds for all samples together always."""
    max_model_age_days: float = Field(default=30.0, gt=0)
    """A champion registered longer ago than this is stale."""
    max_window_age_hours: float = Field(default=24.0, gt=0)
    """Monitoring itself is broken if the newest window ended longer ago than this."""
    min_failures: int = Field(default=5, ge=1)
    """Fewest bad requests in the longer window before a burn alerts: at little traffic one failure
    would burn any budget."""
    rollout_minutes: float = Field(default=60.0, gt=0)
    """A rollout silences transient alerts for at most this long; then it is stuck, and says so."""
    page_webhook: Address = ""
    """Address that Alertmanager posts pages to; empty: nobody is paged."""
    ticket_webhook: Address = ""
    """Address that Alertmanager posts tickets to; empty: nobody is told."""
    retraining_webhook: Address = "http://127.0.0.1:8888/retraining/alerts"
    """Address of the retraining policy's webhook, which gets drift and accuracy alerts."""
    runbooks: str = "docs/runbooks"
    """Where the runbook pages lie: the start of each alert's link, such as the repository's address."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for cohort in self.critical_cohorts:
            column, equals, value = cohort.partition("=")
            if not (column and equals and value):
                raise ValueError(f"critical_cohorts: '{cohort}' must be column=value, such as class=Shirt")
        return self
