"""A console in a process of its own and a headless Chromium before it, for tests that look at pages."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.use_case import UseCase

SCREENSHOTS = Path(__file__).parents[2] / ".linnet" / "screenshots"
_QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
SIZES = {"desktop": (1360, 900), "phone": (390, 844)}


@contextmanager
def console(case: UseCase) -> Iterator[tuple[str, dict[str, str]]]:
    """The address of `linnet console` for a use case, and its tokens by role."""
    port = _free_port()
    command = [sys.executable, "-m", "linnet", "console", "--port", str(port)]
    with (case.folder / "console.log").open("wb") as log:
        process = subprocess.Popen(command, **case.place(), stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 90
        while not _answers(url):
            said = (case.folder / "console.log").read_text()
            assert process.poll() is None and time.monotonic() < until, said
            time.sleep(0.2)
        yield url, json.loads((case.state / "console" / "access.json").read_text())
    finally:
        process.terminate()
        process.wait(120)
    said = (case.folder / "console.log").read_text()
    assert "Traceback" not in said, said


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/login").status_code == 200
    except httpx.HTTPError:
        return False


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Browser:
    """One page of Chromium that keeps what its console says, and looks at itself with axe-core."""

    def __init__(self, driver: Any, program: str, url: str, axe: str) -> None:
        self._chromium = driver.chromium.launch(executable_path=program, args=list(_QUIET))
        self.url, self._axe = url, axe
        self.complaints: list[str] = []
        self.page: Any = None

    def open(self, size: str = "desktop", theme: str = "light") -> None:
        """A fresh page without a login."""
        width, height = SIZES[size]
        context = self._chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=theme, bypass_csp=True
        )
        self.page = context.new_page()
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(f"{self.page.url}: {error}"))

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{self.page.url}: {message.text}")

    def go(self, path: str, until: str = "#main h1") -> None:
        """Opens a page and waits until it shows something."""
        self.page.goto(self.url + path)
        self.page.wait_for_selector(until, timeout=30_000)
        self.page.wait_for_selector(".skeleton", state="detached", timeout=60_000)

    def keep(self, name: str) -> None:
        """A screenshot, as an artifact of the test."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(SCREENSHOTS / f"{name}.png"), full_page=True)

    def barriers(self) -> list[str]:
        """Serious and critical violations that axe-core finds on the page."""
        self.page.evaluate(self._axe)
        found = self.page.evaluate("axe.run().then(result => result.violations)")
        return [
            f"{self.page.url}: {one['id']} at {one['nodes'][0]['target']}"
            for one in found
            if one["impact"] in ("serious", "critical")
        ]

    def wider_than_the_screen(self) -> bool:
        """Whether the page scrolls sideways."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth > innerWidth + 1"))

    def close(self) -> None:
        """Ends Chromium."""
        self._chromium.close()


def axe_source(folder: Path) -> str:
    """axe-core from npm; without npm the test is skipped, and says why."""
    if shutil.which("npm") is None:
        pytest.skip("needs npm, to fetch axe-core")
    command = ["npm", "pack", "--silent", "axe-core@4.11.0", "--pack-destination", str(folder)]
    packed = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    if packed.returncode:
        pytest.skip(f"axe-core cannot be fetched from npm: {packed.stderr.strip()[-200:]}")
    archive = folder / re.sub(r"\s", "", packed.stdout)
    subprocess.run(["tar", "xzf", str(archive), "-C", str(folder), "package/axe.min.js"], check=True)
    return (folder / "package" / "axe.min.js").read_text("utf-8")
