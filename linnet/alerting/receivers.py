"""Who is told: the receivers of a model's pages and tickets, as Alertmanager has them.

Secrets are read from files beside alertmanager.yml, which are never generated into a repository.
"""

from __future__ import annotations

from typing import Any, Literal

from linnet.config import ServiceLevelsConfig

TOKEN_FILE = "linnet-token"  # noqa: S105  the name of a file, not a token
"""File beside alertmanager.yml that holds the token of the retraining policy's webhook."""
SLACK_FILE, PAGERDUTY_FILE, SMTP_FILE = "slack-url", "pagerduty-key", "smtp-password"
"""What Slack gave for incoming messages; PagerDuty's key of the service; the mail account's password."""
Kind = Literal["page", "ticket", "retraining"]
_TEXT = (
    "{{ range .Alerts }}{{ .Annotations.summary }}{{ if .Annotations.on_call }} (on call: "
    "{{ .Annotations.on_call }}){{ end }} {{ .Annotations.runbook_url }}\n{{ end }}"
)


def receiver_name(kind: Kind, model: str) -> str:
    """A receiver's, which the model's routes lead to."""
    return f"{kind} {model}"


def receivers(model: str, config: ServiceLevelsConfig) -> list[dict[str, Any]]:
    """The model's three receivers; one that nobody is named for tells nobody."""
    policy = _webhook(config.retraining_webhook)
    policy["http_config"] = {"authorization": {"type": "Bearer", "credentials_file": TOKEN_FILE}}
    retraining = {"webhook_configs": [policy]} if config.retraining_webhook else {}
    return [
        {"name": receiver_name("page", model), **_told("page", config)},
        {"name": receiver_name("ticket", model), **_told("ticket", config)},
        {"name": receiver_name("retraining", model), **retraining},
    ]


def _told(kind: Literal["page", "ticket"], config: ServiceLevelsConfig) -> dict[str, Any]:
    """All that a page or a ticket goes to."""
    found: dict[str, Any] = {}
    if address := getattr(config, f"{kind}_webhook"):
        found["webhook_configs"] = [_webhook(address)]
    if channel := getattr(config, f"{kind}_slack"):
        found["slack_configs"] = [
            {"channel": channel, "api_url_file": SLACK_FILE, "send_resolved": True, "text": _TEXT}
        ]
    if mail := getattr(config, f"{kind}_email"):
        account = {"auth_username": config.smtp_user, "auth_password_file": SMTP_FILE}
        found["email_configs"] = [
            {
                "to": mail, "from": config.smtp_from, "smarthost": config.smtp_host, "send_resolved": True,
                **(account if config.smtp_user else {}),
            }
        ]  # fmt: skip
    if kind == "page" and config.page_pagerduty:
        found["pagerduty_configs"] = [{"routing_key_file": PAGERDUTY_FILE, "send_resolved": True}]
    return found


def _webhook(address: str) -> dict[str, Any]:
    return {"url": address, "send_resolved": True}


def is_told(kind: Literal["page", "ticket"], config: ServiceLevelsConfig) -> bool:
    """Whether anybody gets it."""
    return bool(_told(kind, config))


def secrets_of(config: ServiceLevelsConfig) -> list[str]:
    """Files beside alertmanager.yml that its receivers need, besides the policy's token."""
    mail = config.page_email or config.ticket_email
    wanted = {
        SLACK_FILE: bool(config.page_slack or config.ticket_slack),
        PAGERDUTY_FILE: config.page_pagerduty,
        SMTP_FILE: bool(mail and config.smtp_user),
    }
    return [name for name, needed in wanted.items() if needed]
