"""linnet/serving/openapi.json says what the server answers: each route, and no method that it refuses."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from linnet.errors import RequestRejected
from linnet.serving.admin import Admin
from linnet.serving.feedback import Feedback
from linnet.serving.models import Models
from linnet.serving.segments import SEGMENTS_HEADER
from linnet.serving.shared import SharedPage
from tests.serving.packages import make_package
from tests.serving.running import RunningServer, running

PATHS: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "linnet" / "serving" / "openapi.json").read_text()
)["paths"]
UNLOAD = "/v2/repository/models/{model}/unload"
METHODS = ("GET", "PUT", "POST", "DELETE")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("openapi")
    with running(folder, make_package(folder / "package"), "1", "--workers", "1") as started:
        yield started


@pytest.mark.parametrize("path", PATHS)
def test_documented_route_takes_the_documented_methods_and_no_other(server: RunningServer, path: str) -> None:
    token = {"Authorization": f"Bearer {server.state.token}"}
    for method in METHODS:
        takes_away = (path, method) in (("/admin/models/{model}", "DELETE"), (UNLOAD, "POST"))
        asked = path.format(model="nobody" if takes_away else "tiny", version="1")
        status, _, content = server.client.request(method, asked, b"nonsense", token)
        documented = method.lower() in PATHS[path]
        assert (status != 405) == documented, (method, asked, status, content)
        if documented:
            assert b"no such route" not in content and status != 500, (method, asked, content)


@pytest.mark.parametrize("path", [path for path in PATHS if path.endswith(("/infer", "/predict/{model}"))])
def test_header_for_groups_of_users_is_documented_where_requests_are_answered(path: str) -> None:
    named = {one.get("name", "").lower() for one in PATHS[path]["post"]["parameters"]}
    assert SEGMENTS_HEADER in named


def test_every_route_of_the_supervisor_is_documented() -> None:
    """Those that `Admin` knows, found by asking it for every path that can be made of the words it knows."""
    page = SharedPage.create()
    admin = Admin(Models(page), Feedback(None))
    admin._models.controls["tiny"] = object()  # type: ignore[assignment]
    words = ("admin", "models", "tiny", "versions", "1", "routes", "lease", "records", "metrics", "feedback",
             "v2", "repository", "index", "load", "unload")  # fmt: skip
    found: set[tuple[str, str]] = set()
    level: list[list[str]] = [[]]
    for _ in range(5):
        level = [[*parts, word] for parts in level for word in words]
        for parts in level:
            with contextlib.suppress(RequestRejected):
                found |= {("/" + "/".join(parts), method) for method in admin._routes(parts)}
        level = [parts for parts in level if parts[0] in ("admin", "v2")]
    page.close()
    documented = {
        (path.format(model="tiny", version="1"), method.upper())
        for path, methods in PATHS.items()
        for method in methods
        if method != "parameters"
    }
    ours = {(path, method) for path, method in found if _is_one(path)}
    assert len(ours) > 15 and ours <= documented, ours - documented


def _is_one(path: str) -> bool:
    """Whether a path names the model and the version where such stand: any other name would do there, too."""
    parts = path.strip("/").split("/")
    for before, name in (("models", "tiny"), ("feedback", "tiny"), ("versions", "1")):
        if before in parts[:-1] and parts[parts.index(before) + 1] != name:
            return False
    return True
