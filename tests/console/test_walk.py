"""A person walks through the console with a real browser, from the login to a rollback."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from tests.console.browser import SIZES, Browser
from tests.e2e.use_case import UseCase

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
Opened = tuple[Browser, dict[str, str]]


def paths(case: UseCase) -> dict[str, str]:
    """Every page, by the name of its screenshot."""
    runs = sorted(folder.name for folder in case.runs())
    return {
        "overview": "/",
        "runs": "/runs",
        "run": f"/runs/{runs[1]}?step=train",
        "refused": f"/runs/{runs[2]}?step=evaluate",
        "new-run": "/runs/new",
        "compare": f"/compare?a={runs[0]}&b={runs[1]}",
        "models": "/models",
        "model": "/models/photos/2",
        "release": "/release",
        "data": "/data",
        "monitoring": "/monitoring",
        "runbook": "/runbooks/drift",
        "try": "/try",
        "sample": f"/samples/{sample_of(case)}",
        "request": "/requests?id=nobody",
        "confused": f"/data?run={runs[0]}&label=grass&predicted=water&split=test",
        "runs-asked": "/runs?column=state&column=train.seed&column=metric.macro_f1&sort=metric.macro_f1",
    }


def sample_of(case: UseCase) -> str:
    """The id of one image of the first run's dataset."""
    from pyarrow import parquet

    table = next((case.state / "runs").glob("*/ingest/samples/*.parquet"))
    return str(parquet.read_table(table, columns=["sample_id"])["sample_id"][0])


def log_in(opened: Opened, role: str, size: str = "desktop", theme: str = "light") -> Browser:
    browser, tokens = opened
    browser.open(size, theme)
    browser.go(f"/login?token={tokens[role]}")
    return browser


@pytest.mark.parametrize(
    ("size", "theme"),
    [
        ("desktop", "light"),
        ("phone", "dark"),
        pytest.param("desktop", "dark", marks=pytest.mark.proof),
        pytest.param("phone", "light", marks=pytest.mark.proof),
    ],
)
def test_every_page_is_whole_readable_and_open_to_everyone(
    browser: Opened, use_case: UseCase, size: str, theme: str
) -> None:
    here = log_in(browser, "operator", size, theme)
    here.complaints.clear()
    barriers: list[str] = []
    for name, path in paths(use_case).items():
        here.go(path)
        assert here.page.locator(".problem").count() == (1 if name == "refused" else 0), path
        assert not here.wider_than_the_screen(), f"{path} scrolls sideways"
        here.keep(f"{name}-{size}-{theme}")
        barriers += here.barriers()
    assert barriers == []
    assert here.complaints == []


def test_login_asks_for_a_token_and_leads_to_the_page_that_was_wanted(browser: Opened) -> None:
    here, tokens = browser
    here.open()
    here.page.goto(here.url + "/models")
    here.page.fill("#token", "guess")
    here.page.click("text=Log in >> nth=-1")
    assert "not a token" in here.page.inner_text(".problem")
    assert here.barriers() == []
    here.page.fill("#token", tokens["viewer"])
    here.page.press("#token", "Enter")
    here.page.wait_for_url(here.url + "/models")


def test_login_links_are_printed_again_while_the_console_runs(browser: Opened, use_case: UseCase) -> None:
    here, tokens = browser
    shown = use_case.linnet("console", "link")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.split() == [
        word for role in ("operator", "viewer") for word in (role, f"{here.url}/login?token={tokens[role]}")
    ]


def test_failed_gate_of_a_refused_run_is_found_from_the_overview(browser: Opened, use_case: UseCase) -> None:
    here = log_in(browser, "viewer")
    here.page.click("text=The last candidate was refused")
    here.page.wait_for_selector("text=✗ fail")
    row = here.page.locator("tr", has_text="✗ fail").first.inner_text()
    assert "ece" in row and "at most 0.0000 is allowed" in row
    here.page.click(".dag a:has-text('evaluate')")
    here.page.wait_for_url("**step=evaluate")
    assert "fail" in here.page.inner_text(".facts")


def test_two_runs_are_compared_by_what_differs(browser: Opened, use_case: UseCase) -> None:
    here = log_in(browser, "viewer")
    here.go(paths(use_case)["compare"], "text=Settings that differ")
    assert here.page.inner_text("tr:has-text('train.seed')").split() == ["train.seed", "0", "1"]


def test_runs_are_found_and_compared_from_their_table(browser: Opened, use_case: UseCase) -> None:
    here = log_in(browser, "viewer")
    here.go("/runs")
    here.page.fill("input[name=words]", "train.seed=1")
    here.page.press("input[name=words]", "Enter")
    here.page.wait_for_url("**words=train.seed**")
    here.page.wait_for_selector("input[name=run]")
    assert here.page.locator("input[name=run]").count() == 2
    for box in here.page.locator("input[name=run]").all():
        box.check()
    here.page.click("text=Compare the chosen")
    here.page.wait_for_selector("text=Confusion matrices")
    assert here.page.locator("svg.confusion").count() == 2
    with here.page.expect_download() as saved:
        here.page.locator("summary:has-text('Values')").first.click()
        here.page.locator("button:has-text('Download CSV')").first.click()
    lines = saved.value.path().read_text().splitlines()
    assert lines[0] == '"Epoch","A","B"' and len(lines) == 1 + 8


def test_cell_of_the_confusion_matrix_leads_to_an_image_and_what_every_version_says(browser: Opened) -> None:
    here = log_in(browser, "viewer")
    here.go("/models/photos/1", "svg.confusion")
    here.page.locator("svg.confusion a[aria-label*='predicted as']").first.click()
    here.page.wait_for_url("**/data?run=**predicted=**")
    here.page.locator("#samples figure a").first.click()
    here.page.wait_for_url("**/samples/**")
    here.page.wait_for_selector("text=What versions say")
    shown = here.page.inner_text("#main")
    assert "photos 2" in shown and "photos 1" in shown and "Similarity" in shown


def test_tags_and_a_note_are_given_to_a_run_and_found_again(browser: Opened, use_case: UseCase) -> None:
    here = log_in(browser, "operator")
    run = sorted(folder.name for folder in use_case.runs())[0]
    here.go(f"/runs/{run}")
    here.page.click("text=Tags and note")
    here.page.fill("input[aria-label='Tags, between commas']", "baseline, x<y")
    here.page.click(".dialog button:has-text('Save')")
    here.page.wait_for_selector("text=is no tag")
    here.page.fill("input[aria-label='Tags, between commas']", "baseline")
    here.page.click(".dialog button:has-text('Save')")
    here.page.wait_for_selector(".chip:has-text('baseline')")
    here.go("/runs?words=tags%3Dbaseline")
    assert here.page.locator("input[name=run]").count() == 1
    here.go(f"/runs/new?config=run%20{run}")
    assert run in here.page.inner_text("#main")


def test_mistakes_are_browsed_with_what_the_model_looked_at(browser: Opened) -> None:
    here = log_in(browser, "viewer")
    here.go("/models/photos/1", "text=Worst mistakes")
    shots = here.page.locator("figure:has(img[alt='saliency map'])")
    assert shots.count() >= 1 and "predicted as" in shots.first.inner_text()
    here.page.click("text=/All \\d+ mistakes/")
    here.page.wait_for_selector("#samples figure")
    assert "predicted as" in here.page.locator("#samples figure").first.inner_text()


def test_image_that_is_dropped_is_answered_and_explained(browser: Opened, use_case: UseCase) -> None:
    here = log_in(browser, "viewer")
    here.go("/try", "#drop")
    here.page.set_input_files("#file", str(use_case.folder / "photos" / "water" / "000.png"))
    here.page.wait_for_selector("text=The nearest training images", timeout=60_000)
    assert "water" in here.page.inner_text("#answer .answer")
    assert here.page.locator("#answer figure").count() == 9
    assert here.barriers() == []
    here.keep("try-answered")
    here.page.set_input_files("#file", str(use_case.folder / "photos.toml"))
    here.page.wait_for_selector("#answer .problem")
    assert "image" in here.page.inner_text("#answer .problem")


def test_viewer_has_nothing_to_change_things_with(browser: Opened) -> None:
    here = log_in(browser, "viewer")
    here.go("/models/photos/1")
    assert here.page.locator("button:has-text('Promote')").count() == 0
    here.go("/models")
    assert here.page.locator("button:has-text('Roll back')").count() == 0
    here.go("/runs/new")
    assert "Viewers cannot start runs" in here.page.inner_text(".problem")


def test_operator_rolls_back_with_a_reason_that_stands_in_ledger_and_audit_log(
    browser: Opened, use_case: UseCase
) -> None:
    here = log_in(browser, "operator")
    here.go("/models")
    here.page.click("button:has-text('Roll back')")
    dialog = here.page.locator("[role=dialog]", has_text="Roll photos back?").last
    dialog.locator("button:has-text('Roll back')").click()
    dialog.locator(".problem").wait_for()
    assert here.barriers() == []
    here.keep("rollback-dialog")
    dialog.locator("input").fill("the walk says so")
    dialog.locator("button:has-text('Roll back')").click()
    here.page.wait_for_url("**/models/photos/1")
    here.page.wait_for_selector(".top .chip:has-text('champion')")
    entry = use_case.ledger()[-1]["entry"]
    assert (entry["action"], entry["version"], entry["reason"]) == ("rollback", "1", "the walk says so")
    audit = (use_case.state / "console" / "audit.jsonl").read_text()
    assert '"action":"roll back"' in audit and '"outcome":"done"' in audit


@pytest.mark.proof  # a whole run in a browser: minutes that `make test` does not have
@pytest.mark.timeout(1200)
def test_run_that_the_form_starts_is_watched_to_a_canary_that_is_approved(
    browser: Opened, use_case: UseCase
) -> None:
    here = log_in(browser, "operator")
    here.complaints.clear()
    _start_from_the_form(here, paths(use_case)["run"].split("/")[2].split("?")[0])
    run = use_case.runs()[-1]

    here.page.wait_for_selector(".dag .box.running", timeout=120_000)
    here.keep("run-under-way")
    here.page.wait_for_selector(".dag .box.succeeded", timeout=120_000)
    here.page.click(".dag a:has-text('ingest')")
    here.page.wait_for_selector(".card:has-text('Log') pre")

    until(lambda: _phase(use_case) == "waiting", 400)
    here.go("/")
    here.page.click("text=A canary waits for you")
    here.page.wait_for_selector("button:has-text('Approve')")
    here.page.wait_for_selector(".judged svg .band")
    assert here.barriers() == []
    for size, theme in (("desktop", "light"), ("phone", "dark")):
        _look_like(here, size, theme)
        here.keep(f"canary-{size}-{theme}")
    _look_like(here, "desktop", "light")

    here.page.click("button:has-text('Approve')")
    dialog = here.page.locator("[role=dialog]", has_text="Approve this canary?").last
    dialog.locator("input").fill("looked at it")
    dialog.locator("button:has-text('Approve')").click()
    here.page.wait_for_selector("button:has-text('Approve')", state="hidden", timeout=60_000)
    until(lambda: use_case.record(run)["state"] == "succeeded", 200)
    here.go("/")
    assert f"Version {use_case.stages(run)['register']['values']['version']}" in here.page.inner_text(
        ".tiles"
    )
    rollout = json.loads((run / "release" / "rollout" / "rollout.json").read_text())
    orders = [mark for mark in rollout["marks"] if mark["what"] == "approve"]
    assert [(mark["reason"], mark["by"].endswith("(console)")) for mark in orders] == [("looked at it", True)]
    audit = (use_case.state / "console" / "audit.jsonl").read_text()
    assert '"action":"approve a rollout"' in audit
    assert here.complaints == []


def _start_from_the_form(here: Browser, base: str) -> None:
    """Fills the form in, once wrongly, and starts the run."""
    here.go(f"/runs/new?config=run {base}")
    _open_section(here, "Train")
    epochs = here.page.get_by_label("Epochs", exact=True)
    epochs.fill("0")
    here.page.click("button:has-text('Start the run')")
    assert "train.epochs" in here.page.locator(".problem").inner_text()
    epochs.fill("4")
    _open_section(here, "Release")
    here.page.get_by_label("Approval", exact=True).click()
    here.page.get_by_role("option", name="promotion", exact=True).click()
    here.page.get_by_label("Why do you run it?").fill("the walk")
    here.keep("new-run-filled")
    here.page.click("button:has-text('Start the run')")
    here.page.wait_for_url("**/runs/photos-*", timeout=60_000)


def _open_section(here: Browser, name: str) -> None:
    here.page.locator(".q-expansion-item .q-item__label").get_by_text(name, exact=True).click()


def _look_like(here: Browser, size: str, theme: str) -> None:
    width, height = SIZES[size]
    here.page.set_viewport_size({"width": width, "height": height})
    here.page.emulate_media(color_scheme=theme)


def _phase(case: UseCase) -> str:
    try:
        return str(json.loads((case.state / "rollouts" / "photos.json").read_text())["phase"])
    except (OSError, ValueError):
        return ""


def until(holds: Callable[[], bool], seconds: float) -> None:
    """Waits for something that another process does."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.2)
