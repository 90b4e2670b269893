"""What is written for Prometheus, Alertmanager and Grafana: valid for the real programs, and linked."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from linnet.alerting.dashboards import dashboards
from linnet.alerting.files import AlertedModel, alert_files, alertmanager, write_alert_files
from linnet.alerting.receivers import TOKEN_FILE, secrets_of
from linnet.alerting.rules import rule_groups
from linnet.config import ServiceLevelsConfig, load_config
from linnet.errors import ConfigError
from linnet.monitoring import metric_names as names
from tests.monitoring.debian import program, run

ROOT = Path(__file__).parent.parent.parent
CONFIG = load_config(ROOT / "configs" / "fashion.toml")
FILES = alert_files({"fashion": AlertedModel(CONFIG.service_levels, ("127.0.0.1:8090",))}, "127.0.0.1:8888")
RULES = [rule for group in rule_groups("fashion", CONFIG.service_levels)["groups"] for rule in group["rules"]]
ALERTS = [rule for rule in RULES if "alert" in rule]
QUERIES = [
    target["expr"]
    for board in dashboards("fashion", CONFIG.service_levels).values()
    for panel in board["panels"]
    for target in panel["targets"]
] + [b["annotations"]["list"][0]["expr"] for b in dashboards("fashion", CONFIG.service_levels).values()]


@pytest.mark.parametrize("name", FILES)
def test_shipped_file_is_what_the_config_says(name: str) -> None:
    shipped = (ROOT / "deploy" / name).read_text("utf-8")
    assert shipped == FILES[name], "run `linnet alerts generate configs/fashion.toml -o deploy`"


def test_boards_of_models_with_long_names_are_not_one_board() -> None:
    models = [f"a-model-of-the-shop-with-a-very-long-name-{end}" for end in ("shoes", "shirts")]
    boards = [board for model in models for board in dashboards(model, CONFIG.service_levels).values()]
    ids = {board["uid"] for board in boards}
    assert len(ids) == len(boards) > 2 and max(map(len, ids)) <= 40


def test_promtool_and_amtool_accept_the_files(tmp_path: Path) -> None:
    levels = ServiceLevelsConfig(
        critical_cohorts=('name=with "quotes"',), page_webhook="http://127.0.0.1:9/page"
    )
    models = {name: AlertedModel(levels, ("127.0.0.1:1",)) for name in ("fashion", "digits.v2")}
    write_alert_files(alert_files(models, "127.0.0.1:2"), tmp_path)
    said = run([program("promtool", "prometheus"), "check", "config", "prometheus/prometheus.yml"], tmp_path)
    assert f"SUCCESS: {len(RULES)} rules found" in said
    (tmp_path / "alertmanager" / TOKEN_FILE).write_text("secret")
    amtool = program("amtool", "prometheus-alertmanager")
    assert "7 receivers" in run([amtool, "check-config", "alertmanager/alertmanager.yml"], tmp_path)


PEOPLE: dict[str, Any] = {
    "page_slack": "#on-call", "ticket_slack": "#models", "page_pagerduty": True,
    "page_email": "ada@example.org", "ticket_email": "models@example.org", "smtp_user": "linnet",
    "smtp_host": "mail.example.org:587", "smtp_from": "linnet@example.org",
    "owner": "shop team", "on_call": "#on-call", "escalation": "grace",
}  # fmt: skip


def test_amtool_accepts_slack_pagerduty_mail_and_webhook_with_their_secrets_beside(tmp_path: Path) -> None:
    levels = ServiceLevelsConfig(page_webhook="http://127.0.0.1:9/page", **PEOPLE)
    write_alert_files(
        alert_files({"fashion": AlertedModel(levels, ("127.0.0.1:1",))}, "127.0.0.1:2"), tmp_path
    )
    amtool = program("amtool", "prometheus-alertmanager")
    for name in (TOKEN_FILE, *secrets_of(levels)):
        (tmp_path / "alertmanager" / name).write_text("https://hooks.example.org/x")
    assert "4 receivers" in run([amtool, "check-config", "alertmanager/alertmanager.yml"], tmp_path)
    told = yaml.safe_load((tmp_path / "alertmanager" / "alertmanager.yml").read_text())["receivers"]
    by_name = {one["name"]: one.keys() - {"name"} for one in told}
    every = {"webhook_configs", "slack_configs", "email_configs", "pagerduty_configs"}
    assert by_name["page fashion"] == every
    assert by_name["ticket fashion"] == {"slack_configs", "email_configs"}, "PagerDuty wakes people"
    assert "https://hooks" not in (tmp_path / "alertmanager" / "alertmanager.yml").read_text()


def test_every_alert_says_whose_the_model_is_and_whom_to_ask() -> None:
    groups = rule_groups("fashion", ServiceLevelsConfig(**PEOPLE))["groups"]
    rules = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    people = {(rule["annotations"]["owner"], rule["annotations"]["escalation"]) for rule in rules}
    assert people == {("shop team", "grace")}
    assert not any("owner" in rule["annotations"] for rule in ALERTS), "fashion.toml names nobody"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"page_email": "ada@example.org"}, "mail needs smtp_host"),
        ({"ticket_email": "a@b.c", "smtp_host": "mail", "smtp_from": "a@b.c"}, "mail needs smtp_host"),
        ({"page_slack": "on-call"}, "page_slack: 'on-call' must be a channel"),
    ],
)
def test_receiver_that_could_reach_nobody_is_refused(given: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        ServiceLevelsConfig.parse(given)


def test_dashboard_queries_parse_with_the_real_prometheus(tmp_path: Path) -> None:
    rules = [{"record": f"q:{number}", "expr": query} for number, query in enumerate(QUERIES)]
    (tmp_path / "q.yml").write_text(yaml.safe_dump({"groups": [{"name": "q", "rules": rules}]}))
    said = run([program("promtool", "prometheus"), "check", "rules", "q.yml"], tmp_path)
    assert f"SUCCESS: {len(QUERIES)} rules found" in said and len(QUERIES) > 40


def _asked_for(query: str) -> set[str]:
    """Names of the series in a query: words before `{` or a window that are no function or label."""
    bare = re.sub(r'"[^"]*"|\b(?:by|on|without|group_left)\s*\([^)]*\)|\{[^}]*\}', " ", query)
    return set(re.findall(r"(?:linnet[a-z_:0-9]*|process_[a-z_]+|\bup\b)", bare))


@pytest.mark.parametrize(
    "rule", [*ALERTS, *RULES[:3]], ids=lambda rule: rule.get("alert", rule.get("record"))
)
def test_rules_ask_for_metrics_that_exist(rule: dict[str, Any]) -> None:
    asked = _asked_for(rule["expr"])
    assert asked and asked <= _known()


def test_dashboards_ask_for_metrics_that_exist() -> None:
    for query in QUERIES:
        assert _asked_for(query) and _asked_for(query) <= _known(), query


def _known() -> set[str]:
    histograms = {f"{name}{end}" for name in (names.REQUEST_SECONDS, names.PREDICTION_SECONDS)
                  for end in ("_bucket", "_count")}  # fmt: skip
    return {
        *names.SERVER,
        *names.SERVER_GROUPS,
        *names.MONITOR,
        *histograms,
        "up",
        *(r["record"] for r in RULES if "record" in r),
    }


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_each_alert_links_to_a_runbook_that_exists(alert: dict[str, Any]) -> None:
    page = ROOT / alert["annotations"]["runbook_url"]
    text = page.read_text("utf-8")
    assert "## Look" in text and "## Do" in text
    assert alert["labels"]["severity"] in ("page", "ticket", "none") and alert["annotations"]["summary"]


def test_runbooks_are_all_in_use_and_their_links_lead_somewhere() -> None:
    used = {Path(alert["annotations"]["runbook_url"]).name for alert in ALERTS}
    pages = list((ROOT / "docs" / "runbooks").glob("*.md"))
    assert {page.name for page in pages} == used
    for page in [*pages, ROOT / "docs" / "service-levels.md"]:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_runbooks_name_only_commands_and_settings_that_exist() -> None:
    from docs.generate import reference

    known = reference()
    for page in (ROOT / "docs" / "runbooks").glob("*.md"):
        text = page.read_text("utf-8")
        for command in re.findall(r"`linnet ([a-z]+(?: [a-z][a-z-]+)?)", text):
            assert f"### linnet {command}" in known, f"{page.name}: linnet {command}"
        for section, field in re.findall(r"`(service_levels|retraining|serving)\.([a-z_]+)`", text):
            assert field in type(getattr(CONFIG, section)).model_fields, f"{page.name}: {section}.{field}"


def test_dashboards_are_three_whole_boards() -> None:
    boards = dashboards("fashion", CONFIG.service_levels)
    assert list(boards) == ["fashion-executive", "fashion-on-call", "fashion-debug"]
    assert len({board["uid"] for board in boards.values()}) == 3
    for board in boards.values():
        json.dumps(board)
        ids = [panel["id"] for panel in board["panels"]]
        assert ids == sorted(set(ids)) and len(board["uid"]) <= 40
        cells = [_cells(panel["gridPos"]) for panel in board["panels"]]
        assert sum(len(c) for c in cells) == len(set().union(*cells)), "panels overlap"
        for panel in board["panels"]:
            place = panel["gridPos"]
            assert place["x"] + place["w"] <= 24 and panel["description"] and panel["targets"]


def _cells(place: dict[str, int]) -> set[tuple[int, int]]:
    return {
        (x, y)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    }


def test_field_guide_panels_are_there() -> None:
    """What the dashboards of the field guide must show."""
    titles = {
        panel["title"] for b in dashboards("fashion", CONFIG.service_levels).values() for panel in b["panels"]
    }
    for title in (
        "Accuracy", "Drift", "Error budget left", "Latency p95 and p99", "Deploys", "Refused", "Confusion",
        "Drift by feature", "Queue", "Predicted classes",
    ):  # fmt: skip
        assert title in titles


def test_alertmanager_without_webhooks_still_has_its_receivers() -> None:
    written = alertmanager({"fashion": ServiceLevelsConfig()})
    receivers = {receiver["name"]: receiver for receiver in written["receivers"]}
    assert "webhook_configs" not in receivers["page fashion"]
    token = receivers["retraining fashion"]["webhook_configs"][0]["http_config"]["authorization"]
    assert token == {"type": "Bearer", "credentials_file": TOKEN_FILE}
