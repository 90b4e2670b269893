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
    """Address that Alertmanager posts pages to; empty: none."""
    ticket_webhook: Address = ""
    """Address that Alertmanager posts tickets to; empty: none."""
    page_slack: str = ""
    """Slack channel that pages go to, such as #on-call; the address for incoming messages stands in the file
    slack-url beside alertmanager.yml. Empty: none."""
    ticket_slack: str = ""
    """The same for tickets."""
    page_email: str = ""
    """Mail address that pages go to, through `smtp_host`; empty: none."""
    ticket_email: str = ""
    """The same for tickets."""
    page_pagerduty: bool = False
    """Whether PagerDuty gets pages; the service's key stands in the file pagerduty-key beside
    alertmanager.yml."""
    smtp_host: Address = ""
    """host:port of the server that takes mail."""
    smtp_from: str = ""
    """Sender of mails."""
    smtp_user: str = ""
    """Account of the mail server; its password stands in the file smtp-password beside alertmanager.yml.
    Empty: it asks for none."""
    owner: str = ""
    """Team or person that the model belongs to: stands in every alert."""
    on_call: str = ""
    """Who answers pages of the model, such as a rota's address: stands in every alert."""
    escalation: str = ""
    """Whom to ask when nobody answers within half an hour: stands in every alert."""
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
        if self.page_email or self.ticket_email:
            host, _, port = self.smtp_host.rpartition(":")
            if not (host and port.isdigit() and "@" in self.smtp_from):
                raise ValueError(
                    "page_email, ticket_email: mail needs smtp_host (host:port) and smtp_from (an address)"
                )
        for name in ("page_slack", "ticket_slack"):
            channel = getattr(self, name)
            if channel and channel[0] not in "#@":
                raise ValueError(f"{name}: '{channel}' must be a channel or a person: #on-call, @ada")
        return self
