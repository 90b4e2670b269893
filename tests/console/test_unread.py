"""A record that cannot be read is named on its page, and hides none of the others."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from linnet.console.context import Context
from linnet.console.health import health
from linnet.console.markup import left_out
from linnet.console.pages import data, models, monitoring, overview, release
from linnet.console.production_status import watched
from linnet.console.views import release as release_view
from linnet.errors import RegistryError, StorageError
from linnet.monitoring.history import history_folder
from linnet.records import DatasetManifest
from linnet.run.runs import runs_dir
from tests.console.records import evidence, run_record, version

BAD, GOOD = "fashion-20260102-100000-aaaa", "fashion-20260101-100000-aaaa"


def dataset(run: str) -> Path:
    file = runs_dir() / run / "ingest" / "samples" / "manifest.json"
    DatasetManifest(
        name="fashion", digest=run, revision="", classes=("a", "b"), counts={"train": {"a": 3, "b": 4}},
        shards=(), rows=1, raw_rows=1, dropped_duplicates=0, dropped_leaks=0, dropped=(),
    ).save(file)  # fmt: skip
    return file


@pytest.fixture
def context() -> Context:
    """Two runs with a dataset and a release each."""
    rollout = evidence().rollout
    assert rollout is not None
    for run in (BAD, GOOD):
        run_record(run).save(runs_dir() / run / "run.json")
        dataset(run)
        rollout.model_copy(update={"model": "fashion"}).save(
            runs_dir() / run / "release" / "rollout" / "rollout.json"
        )
    return Context()


def damage(run: str, *parts: str) -> None:
    runs_dir().joinpath(run, *parts).write_text("{")


def test_run_is_named_on_the_page_of_runs(context: Context) -> None:
    damage(BAD, "run.json")
    assert [run.run_id for run in context.sources.runs()] == [GOOD]
    (why,) = context.sources.unread_runs()
    assert why.startswith(f"run {BAD}: ") and "run.json" in why


def test_dataset_is_named_on_the_page_of_data(context: Context) -> None:
    damage(BAD, "ingest", "samples", "manifest.json")
    found, unread = data.dataset_versions(context)
    assert [manifest.digest for _, manifest in found] == [GOOD]
    assert len(unread) == 1 and unread[0].startswith(f"the dataset of run {BAD}: ")
    damage(GOOD, "ingest", "samples", "manifest.json")
    with pytest.raises(StorageError, match=f"(?s){BAD}.*{GOOD}"):  # and not: no dataset was read yet
        data.load(context, "", data.Filters("", "", ""), False, 0)


def test_release_is_named_on_the_page_of_releases(context: Context) -> None:
    damage(BAD, "release", "rollout", "rollout.json")
    found, unread = release.decisions(context, "fashion")
    assert [run for run, _ in found] == [GOOD]
    assert len(unread) == 1 and BAD in unread[0] and "rollout.json" in unread[0]
    assert release.decisions(context, "other") == ([], [])


def test_page_of_releases_counts_all_of_them(context: Context) -> None:
    """Issue 14: ten were read, of which ten were shown: nothing said that there were more."""
    for number in range(12):
        run = f"fashion-20260103-10{number:02d}00-aaaa"
        shutil.copytree(runs_dir() / GOOD, runs_dir() / run)
        run_record(run).save(runs_dir() / run / "run.json")
    found, unread = release.decisions(context, "fashion")
    assert not unread and "10 of 14 releases" in str(release_view.history(found))


def test_model_whose_versions_cannot_be_read_hides_no_other() -> None:
    def versions(name: str) -> list[Any]:
        if name == "bad":
            raise RegistryError("its tags are damaged")
        return [version("7")]

    sources: Any = SimpleNamespace(versions=versions, ledger=lambda name: [])
    context: Any = SimpleNamespace(sources=sources)
    bad, good = (models.listed(context, name) for name in ("bad", "good"))
    assert bad.unread == ["versions of bad: its tags are damaged"] and not bad.versions
    assert good.versions and not good.unread


def test_package_that_cannot_be_read_is_named_on_the_page_of_its_version(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text("{")
    shown = version("7", "champion")
    sources: Any = SimpleNamespace(
        version=lambda *_: shown, evidence_of=lambda *_: None, package=lambda _: tmp_path,
        ledger=lambda _: [], champion=lambda _: shown,
    )  # fmt: skip
    context: Any = SimpleNamespace(sources=sources)
    found = models._load(context, "fashion", "7")
    assert found.package is None and len(found.unread) == 1
    assert found.unread[0].startswith("the package: ") and "package.json" in found.unread[0]


def test_records_of_production_are_named_on_the_page_of_monitoring(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = version("7", "champion").model_copy(update={"tags": {"run": BAD}})
    monkeypatch.setattr(context.sources, "champion", lambda model: champion)
    assert monitoring.trained_counts(context, "fashion") == ({"a": 3, "b": 4}, [])
    damage(BAD, "ingest", "samples", "manifest.json")
    counts, unread = monitoring.trained_counts(context, "fashion")
    assert counts == {} and len(unread) == 1 and "manifest.json" in unread[0]
    folder = history_folder(champion.name, "7") / "20260101T000000"
    folder.mkdir(parents=True)
    (folder / "drift.json").write_text("{")
    seen = watched(context, champion.name)
    assert len(seen.unread) == 1 and "drift.json" in seen.unread[0]
    told = health(
        replace(seen, broken_configs=("c.toml: broken",)), context.sources.served("m"), None, None, []
    )
    unsure = [line.words for line in told.lines if "left out" in line.what.lower()]
    assert unsure == [seen.unread[0], "c.toml: broken"] and told.state != "well"
    monkeypatch.setattr(context.sources, "models", lambda: [champion.name])
    monkeypatch.setattr(context.sources, "versions", lambda model: [champion])
    assert any(need.why == seen.unread[0] for need in overview.load(context, champion.name).extra_needs)
    page = str(monitoring.page(seen, counts, unread))
    assert page.count("left out, as it cannot be read") == 2


def test_run_whose_record_is_damaged_is_not_said_to_be_elsewhere(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = version("7", "champion").model_copy(update={"tags": {"run": BAD}})
    monkeypatch.setattr(context.sources, "champion", lambda model: made)
    unread: list[str] = []
    assert context.sources.evidence_of(made, unread) is not None and not unread
    damage(BAD, "run.json")
    assert context.sources.evidence_of(made, unread) is None
    assert len(unread) == 1 and unread[0].startswith("the run of version 7: ") and BAD in unread[0]
    assert monitoring.trained_counts(context, "fashion") == ({}, unread)
    elsewhere = made.model_copy(update={"tags": {"run": "fashion-20250101-100000-aaaa"}})
    assert context.sources.evidence_of(elsewhere, unread) is None and len(unread) == 1


def test_words_of_a_file_cannot_become_markup() -> None:
    assert "<b>" not in str(left_out(["<b>x</b>"]))
