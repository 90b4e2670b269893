"""Bodies, arguments and addresses of a wrong type: one answer that names the field, and no run is made."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.engine.engines import RunningEngine

pytestmark = pytest.mark.slow
API = "/apis/v2beta1"
ROUTES = [
    ("POST", "/runs"), ("POST", "/recurringruns"), ("POST", "/experiments"), ("POST", "/pipelines"),
    ("POST", "/pipelines/x/versions"), ("PATCH", "/pipelines/x"), ("PATCH", "/pipelines/x/versions/y"),
]  # fmt: skip
OBJECTS = ("runtime_config", "trigger", "pipeline_version_reference", "pipeline_spec", "tags")
WRONG: list[tuple[str, Any]] = [
    *((f"{name}", wrong) for name in ("display_name", "description", "experiment_id", "name", "mode")
      for wrong in (1, 1.5, True, [], {})),
    *((name, wrong) for name in OBJECTS for wrong in ("x", 1, True, [1])),
    *(("max_concurrency", wrong) for wrong in ("x", "-1", 1.5, [], {}, "9" * 40, 10**40, "\u00b2")),
    ("no_catchup", "yes"), ("tags", {"a": 1}),
]  # fmt: skip
NESTED: list[tuple[str, dict[str, Any]]] = [
    ("parameters", {"runtime_config": {"parameters": []}}),
    ("pipeline_root", {"runtime_config": {"pipeline_root": {}}}),
    ("pipeline_id", {"pipeline_version_reference": {"pipeline_id": 3}}),
    ("cron", {"trigger": {"cron_schedule": {"cron": ["* * * * *"]}}}),
    ("cron_schedule", {"trigger": {"cron_schedule": "* * * * *"}}),
    ("interval_second", {"trigger": {"periodic_schedule": {"interval_second": "soon"}}}),
    ("interval_second", {"trigger": {"periodic_schedule": {"interval_second": []}}}),
    ("start_time", {"trigger": {"periodic_schedule": {"interval_second": "60", "start_time": 5}}}),
]
PYTHON = ("Error", "Traceback", "object", "NoneType", "Value error")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    started = RunningEngine(tmp_path_factory.mktemp("bodies") / "state").start()
    yield started
    started.stop()


def told(answer: httpx.Response) -> str:
    message = str(answer.json()["message"])
    assert answer.status_code == 400, (answer.status_code, message)
    assert not [word for word in PYTHON if word in message], message
    return message


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_field_of_a_wrong_type_is_named(engine: RunningEngine, method: str, path: str) -> None:
    for field, wrong in WRONG:
        answer = httpx.request(method, engine.url + API + path, json={field: wrong})
        assert field in told(answer), (field, wrong)
    for field, body in NESTED:
        assert field in told(httpx.request(method, engine.url + API + path, json=body)), body


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("text", ["[]", "1", "null", '"x"', "true", "{", "", '{"a": "\\ud800"}', "[" * 5000])
def test_body_that_is_no_object_is_told(engine: RunningEngine, method: str, path: str, text: str) -> None:
    headers = {"Content-Type": "application/json"}
    told(httpx.request(method, engine.url + API + path, content=text, headers=headers))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400"])
@pytest.mark.parametrize("path", ["/runs", "/recurringruns"])
def test_argument_that_is_no_number_makes_no_run(engine: RunningEngine, path: str, number: str) -> None:
    body = json.dumps({"runtime_config": {"parameters": {"rate": "HERE"}}}).replace('"HERE"', number)
    answer = httpx.post(engine.url + API + path, content=body, headers={"Content-Type": "application/json"})
    assert "NaN or infinite" in told(answer)
    assert httpx.get(engine.url + API + "/runs").json()["total_size"] == 0
    assert not list((engine.state / "runs").glob("*"))


@pytest.mark.parametrize("size", ["\u00b2", "-1", "1.5", "x", "9" * 30])
def test_page_size_that_is_no_whole_number_is_told(engine: RunningEngine, size: str) -> None:
    assert "page_size" in told(httpx.get(engine.url + API + "/runs", params={"page_size": size}))


@pytest.mark.parametrize(
    "value", [{"int_value": "x"}, {"long_value": []}, {"int_values": {}}, {"string_values": 5}, {}]
)
def test_filter_of_a_wrong_type_is_told(engine: RunningEngine, value: dict[str, Any]) -> None:
    wanted = {"predicates": [{"operation": "IN", "key": "name", **value}]}
    assert "filter" in told(httpx.get(engine.url + API + "/runs", params={"filter": json.dumps(wanted)}))


@pytest.mark.parametrize("piece", ["%00", "%0d%0aX-Evil:%20x", "%ff", "%2e%2e", "a" * 3000])
@pytest.mark.parametrize(
    "path", ["/runs", "/pipelines", "/experiments", "/recurringruns", "/pipelines/names"]
)
def test_address_with_odd_bytes_finds_nothing(engine: RunningEngine, path: str, piece: str) -> None:
    host = engine.url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=30)
    connection.request("GET", f"{API}{path}/{piece}")
    answer = connection.getresponse()
    content = answer.read()
    assert answer.status in (400, 404) and answer.getheader("X-Evil") is None, (answer.status, content)
    assert not [word for word in PYTHON if word.encode() in content], content
    connection.close()
