"""Attacks on the console in a real browser, with its policy in force: stored script, and what a page may load."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
NAME = (
    "x\" :onclick=\"window.ran='prop'\" onmouseover=\"window.ran='handler'\" y='"
    "<img src=x onerror=window.ran='image'><script>window.ran='script'</script>"
    "`);window.ran='template';//${window.ran='literal'}"
)


@pytest.fixture(scope="module")
def page(
    debian: Callable[[str, str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Any, str, list[str]]]:
    """A page of Chromium that is logged in as operator, the console's address, and what the browser said."""
    from playwright.sync_api import sync_playwright

    folder = tmp_path_factory.mktemp("hostile")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tests.console.hostile_page", str(port), NAME, str(folder / "token")]
    environment = {**os.environ, "LINNET_HOME": str(folder / "state"), "PYTHONPATH": str(ROOT)}
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=out)
    try:
        until = time.monotonic() + 90
        while not (folder / "token").exists():
            assert process.poll() is None and time.monotonic() < until, (folder / "out").read_text()
            time.sleep(0.1)
        url, said = f"http://127.0.0.1:{port}", []
        with sync_playwright() as driver:
            chromium = driver.chromium.launch(
                executable_path=debian("chromium", "chromium"), args=["--no-sandbox", "--disable-gpu"]
            )
            opened = chromium.new_context().new_page()
            opened.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
            opened.on("pageerror", lambda error: said.append(f"error: {error}"))
            opened.goto(f"{url}/login?token={(folder / 'token').read_text()}")
            yield opened, url, said
            chromium.close()
    finally:
        process.terminate()
        process.wait(120)


def test_hostile_name_runs_nothing_on_any_element_nor_in_the_dialog(page: tuple[Any, str, list[str]]) -> None:
    opened, url, said = page
    opened.goto(f"{url}/hostile")
    opened.wait_for_selector("#main h1")
    assert NAME in opened.inner_text("h1 >> nth=0")
    opened.click("button.button >> nth=-1")
    dialog = opened.wait_for_selector("[role=dialog]")
    assert opened.locator("[aria-label]").evaluate_all(
        "(all, name) => all.some(one => one.getAttribute('aria-label') === name)", f"Promote {NAME} 1?"
    )
    box = dialog.bounding_box()
    opened.mouse.move(box["x"] + 5, box["y"] + 5)
    opened.mouse.click(box["x"] + box["width"] / 2, box["y"] + 5)
    opened.wait_for_timeout(300)
    assert opened.evaluate("window.ran") is None
    assert [line for line in said if "Security Policy" in line] == []


def test_pages_work_under_the_policy(page: tuple[Any, str, list[str]]) -> None:
    opened, url, said = page
    said.clear()
    for path in (
        "/",
        "/runs",
        "/runs/new",
        "/compare",
        "/models",
        "/release",
        "/data",
        "/monitoring",
        "/try",
    ):
        opened.goto(url + path)
        opened.wait_for_selector("#main h1")
        opened.wait_for_selector(".skeleton", state="detached", timeout=60_000)
    before = opened.evaluate("document.documentElement.dataset.theme ?? ''")
    opened.click("[data-theme-switch]")
    assert opened.evaluate("document.documentElement.dataset.theme") != before, "our own script runs"
    assert [line for line in said if "Security Policy" in line or line.startswith("error")] == []


def test_script_that_got_into_a_page_is_not_run(page: tuple[Any, str, list[str]]) -> None:
    """The second wall: what escaping would have missed."""
    opened, url, said = page
    opened.goto(f"{url}/hostile")
    opened.wait_for_selector("#main h1")
    opened.evaluate(
        """() => {
          const place = document.querySelector('#main');
          place.insertAdjacentHTML('beforeend', '<img src=/nowhere onerror="window.ran=1">');
          place.insertAdjacentHTML('beforeend', '<a id=bad href="javascript:window.ran=2">x</a>');
          place.insertAdjacentHTML('beforeend', '<iframe srcdoc="<script>parent.ran=3</script>"></iframe>');
          document.querySelector('#bad').click();
          const script = document.createElement('script');
          script.textContent = 'window.ran=4';
          document.body.append(script);
          const far = document.createElement('script');
          far.src = 'http://127.0.0.1:1/x.js';
          document.body.append(far);
          const base = document.createElement('base');
          base.href = 'http://attacker.example/';
          document.head.append(base);
        }"""
    )
    opened.wait_for_timeout(500)
    assert opened.evaluate("window.ran") is None
    assert opened.evaluate("document.baseURI").startswith(url)
    assert len([line for line in said if "Security Policy" in line]) >= 4


def test_page_is_framed_by_nobody(page: tuple[Any, str, list[str]]) -> None:
    opened, url, _ = page
    opened.goto("about:blank")
    opened.set_content(f'<iframe id="framed" src="{url}/runs"></iframe>')
    opened.wait_for_timeout(800)
    frame = opened.frames[-1]
    assert frame.locator("#main").count() == 0


def test_open_page_can_do_nothing_after_a_log_out_elsewhere(page: tuple[Any, str, list[str]]) -> None:
    opened, url, _ = page
    opened.goto(f"{url}/hostile")
    opened.wait_for_selector("#main h1")
    opened.click("button.button >> nth=-1")
    opened.wait_for_selector("[role=dialog]")
    other = opened.context.new_page()
    other.goto(f"{url}/runs")
    other.click("text=Log out")
    other.wait_for_url("**/login")
    opened.fill("[role=dialog] input", "a reason")
    opened.click("[role=dialog] button.primary")
    opened.wait_for_timeout(1500)
    assert opened.url.startswith((f"{url}/hostile", f"{url}/login")), "the act was done, and led on"
