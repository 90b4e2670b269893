"""The server says what it is, and its examples work as they are typed."""

from __future__ import annotations

import html
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from linnet.serving import about
from linnet.vision.decode import encode_png
from tests.serving.packages import make_package
from tests.serving.running import RunningServer, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("about")
    with running(folder, make_package(folder / "package"), "1", "--workers", "1") as started:
        yield started


def test_first_page_says_what_this_is_to_programs_and_to_people(server: RunningServer) -> None:
    status, _, content = server.client.request("GET", "/")
    told = json.loads(content)
    assert status == 200 and told["models"] == ["tiny"] and "model server" in told["what"]
    for way in (told["docs"], told["openapi"]):
        assert server.client.request("GET", way)[0] == 200
    status, headers, content = server.client.request("GET", "/", b"", {"Accept": "text/html,*/*"})
    assert status == 200 and b"<h1>Linnet" in content and b"<script" not in content
    assert (
        "default-src 'none'"
        in {name.lower(): value for name, value in headers.items()}["content-security-policy"]
    )


def test_every_example_of_the_page_works_as_it_is_typed(server: RunningServer, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    for name in ("image.png", "one.png", "two.png"):
        (tmp_path / name).write_bytes(encode_png(np.full((8, 8, 3), 90, np.uint8)))
    _, _, content = server.client.request("GET", "/docs")
    lines = [html.unescape(line) for line in re.findall(r"<pre>(.*?)</pre>", content.decode(), re.S)]
    assert len(lines) == 6 and all(server.state.url in line for line in lines)
    said = [
        subprocess.run(
            [*shlex.split(line), "--fail"], cwd=tmp_path, capture_output=True, timeout=60, check=True
        ).stdout
        for line in lines
    ]
    assert json.loads(said[0])["model"] == "tiny" and len(json.loads(said[1])["answers"]) == 2


def test_page_lists_every_route_and_repeats_no_markup() -> None:
    page = about.page(about.address({"host": '"><script>x'}), ["<b>"])
    assert "<script" not in page and "<b><b>" not in page and "http://localhost/predict" in page
    for path in json.loads(about.openapi())["paths"]:
        assert f"<code>{html.escape(path)}</code>" in page
    several = about.examples("http://h:1", ["b", "a"])
    assert several[0][1].endswith("/predict/b")  # where there are several, a request names one


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({"host": "models.example.org:8090"}, "http://models.example.org:8090"),
        ({"host": "[::1]:8090", "x-forwarded-proto": "https"}, "https://[::1]:8090"),
        ({}, "http://localhost"),
    ],
)
def test_examples_name_the_server_as_the_reader_reached_it(headers: dict[str, str], found: str) -> None:
    assert about.address(headers) == found
