"""What requests say of their users, by a real server: header, parameters, log and metrics."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from linnet.config import Config, ServingConfig, parse_config
from linnet.errors import ConfigError, RequestRejected
from linnet.records.prediction_log import served_files, served_schema
from linnet.serving.segments import Segments
from tests.serving.packages import image_of, make_package
from tests.serving.running import png, running
from tests.serving.test_app import infer_body

DECLARED = Segments({"store": ("de", "fr"), "device": ("ios",)})


@pytest.mark.parametrize(
    ("header", "parameters", "expected"),
    [
        ({}, {}, ("none", "none")),
        ({"linnet-segments": "store=de, device=ios"}, {}, ("de", "ios")),
        ({}, {"store": "fr", "device": "palm"}, ("fr", "other")),
        ({"linnet-segments": "store=de"}, {"store": "fr"}, ("de", "none")),
        ({"linnet-segments": "unheard=1"}, {"store": 5, "device": None}, ("other", "none")),
    ],
)
def test_each_declared_segment_has_one_of_few_values(
    header: dict[str, str], parameters: dict[str, object], expected: tuple[str, str]
) -> None:
    found = DECLARED.of(DECLARED.in_header(header), parameters)
    assert (found["store"], found["device"]) == expected and len(found) == 2


def test_header_that_is_not_written_so_is_refused_where_segments_are_declared() -> None:
    with pytest.raises(RequestRejected, match=r"Linnet-Segments: must be name=value"):
        DECLARED.in_header({"linnet-segments": "de"})
    assert Segments({}).of(Segments({}).in_header({"linnet-segments": "de"}), {"store": "de"}) == {}


@pytest.mark.parametrize(
    ("segments", "problem"),
    [
        ({"class": ["a"]}, "none of all, class, brightness"),
        ({"a b": ["a"]}, "letters, digits and _"),
        ({"store": []}, "1 to 50 values"),
        ({"store": ["de", "de"]}, "none twice"),
        ({"store": [str(n) for n in range(51)]}, "1 to 50 values"),
        ({"store": ["other"]}, "neither other nor none"),
        ({"store": ["d,e"]}, "without a comma"),
        ({f"s{n}": ["a"] for n in range(9)}, "at most 8 may be"),
    ],
)
def test_declaration_with_too_many_or_strange_values_is_refused(
    segments: dict[str, list[str]], problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        ServingConfig.parse({"segments": segments})


def config_of(cohort: str, classes: tuple[str, ...] = ("a", "b")) -> Config:
    data = {"kind": "idx", "classes": list(classes)}
    return parse_config(
        {
            "name": "x",
            "data": data,
            "serving": {"segments": {"store": ["de"]}},
            "service_levels": {"critical_cohorts": [cohort]},
        }
    )


@pytest.mark.parametrize("cohort", ["class=a", "store=de", "store=other", "store=none"])
def test_critical_cohort_that_is_measured_is_taken(cohort: str) -> None:
    assert config_of(cohort).service_levels.critical_cohorts == (cohort,)


@pytest.mark.parametrize(
    ("cohort", "told"),
    [
        ("class=c", "its values are a, b"),
        ("store=fr", "its values are de, other, none"),
        ("shop=de", "accuracy is measured by store, class"),
        ("brightness=dark", "accuracy is measured by store, class"),
    ],
)
def test_critical_cohort_that_nothing_measures_is_refused(cohort: str, told: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)):
        config_of(cohort)


def test_requests_carry_segments_into_log_and_metrics(tmp_path: Path) -> None:
    import pyarrow.dataset as ds

    config = json.dumps({"segments": {"store": ["de", "fr"]}})
    with running(tmp_path, make_package(tmp_path / "package"), "1", "--config-json", config) as server:
        client = server.client
        for header in ({"linnet-segments": "store=de"}, {"linnet-segments": "store=xx"}, {}):
            status, _, _ = client.request("POST", "/predict", png(100), header)
            assert status == 200
        status, _, answer = client.request("POST", "/predict", png(100), {"linnet-segments": "store"})
        assert status == 400 and b"Linnet-Segments" in answer
        body = infer_body(np.repeat(image_of(100)[None], 2, axis=0), parameters={"store": "fr"})
        assert client.request("POST", "/v2/models/tiny/infer", body)[0] == 200
        metrics = client.metrics()
        assert server.stop() == 0
    counted = dict(
        re.findall(
            r'linnet_segment_requests_total\{[^}]*outcome="ok"[^}]*value="(\w+)"[^}]*\} (\S+)', metrics
        )
    )
    assert counted == {"de": "1.0", "other": "1.0", "none": "1.0", "fr": "1.0"}
    files = [str(path) for path in served_files(server.log_dir)]
    rows = ds.dataset(files, schema=served_schema(), format="parquet").to_table().to_pylist()
    assert sorted(dict(row["segments"])["store"] for row in rows) == ["de", "fr", "fr", "none", "other"]
