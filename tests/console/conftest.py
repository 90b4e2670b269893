"""A use case with what the console has to show: two champions, mistakes, a refused candidate, a log."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.console.browser import Browser, axe_source, console
from tests.e2e.use_case import UseCase


@pytest.fixture(scope="session")
def use_case(tmp_path_factory: pytest.TempPathFactory) -> UseCase:
    """Three runs: a weak first champion, a second one, and a candidate that a gate refuses.

    Who works on the pages names a folder in LINNET_CONSOLE_USE_CASE: it is made there once, and used
    again as a copy.
    """
    kept = os.environ.get("LINNET_CONSOLE_USE_CASE")
    if not kept:
        return make(tmp_path_factory.mktemp("photos"))
    if not Path(kept).exists():
        make(Path(kept))
    copy = tmp_path_factory.mktemp("copy") / "photos"
    shutil.copytree(kept, copy, symlinks=True)
    return UseCase(copy)


def make(folder: Path) -> UseCase:
    """Makes the use case in a folder."""
    case = UseCase.of_photos(folder, each=60, noise=110)
    gates = ("min_accuracy", "min_macro_f1", "min_worst_recall")
    loose = [word for name in gates for word in ("--set", f"gates.{name}=0.05")]
    up = case.linnet("up", "--no-console", "--detach", "--engine-port", "0")  # one engine for all three runs
    assert up.returncode == 0, up.stderr
    try:
        for settings, status in (
            (loose, 0),
            ([*loose, "--set", "train.seed=1"], 0),
            ([*loose, "--set", "train.seed=1", "--set", "gates.max_ece=0"], 3),
        ):
            done = case.linnet("run", "photos.toml", *settings, timeout=900)
            assert done.returncode == status, done.stdout + done.stderr
    finally:
        case.linnet("down")
    return case


@pytest.fixture(scope="module")
def browser(
    use_case: UseCase, debian: Callable[[str, str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Browser, dict[str, str]]]:
    """Chromium before the console of the use case, and the console's tokens."""
    from playwright.sync_api import sync_playwright

    program = debian("chromium", "chromium")
    axe = axe_source(tmp_path_factory.mktemp("axe"))
    with console(use_case) as (url, tokens), sync_playwright() as driver:
        opened = Browser(driver, program, url, axe)
        try:
            yield opened, tokens
        finally:
            opened.close()
