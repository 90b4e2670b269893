"""The protocol's conformance suite, against Linnet's server.

Against another one: LINNET_CONFORMANCE_URL=http://127.0.0.1:8080 LINNET_CONFORMANCE_MODEL=name pytest FILE.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from benchmarks.conformance import all_cases, failures
from benchmarks.protocol.target import Case, Target
from tests.serving.packages import make_package
from tests.serving.running import running


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    given = os.environ.get("LINNET_CONFORMANCE_URL")
    if given:
        model = os.environ.get("LINNET_CONFORMANCE_MODEL", "tiny")
        yield Target(given, model, os.environ.get("LINNET_CONFORMANCE_TOKEN"))
        return
    folder = tmp_path_factory.mktemp("conformance")
    with running(folder, make_package(folder / "package"), "1", "--workers", "1") as server:
        yield Target(server.state.url, "tiny", server.state.token)


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: case.id)
def test_case(target: Target, case: Case) -> None:
    case.check(target)


def test_suite_has_what_it_promises_and_can_fail() -> None:
    cases = all_cases()
    assert len(cases) >= 120 and len({case.id for case in cases}) == len(cases)
    nobody = Target("http://127.0.0.1:9", "tiny")
    assert set(failures(nobody, cases[:5])) == {case.id for case in cases[:5]}
