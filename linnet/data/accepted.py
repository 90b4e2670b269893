"""The last dataset version that passed validation: what the next version's drift is measured from."""

from __future__ import annotations

import shutil
from pathlib import Path

from linnet.errors import StorageError
from linnet.records import DatasetManifest, ValidationReport
from linnet.storage.files import replacing
from linnet.storage.paths import state_dir


def last_accepted(name: str, samples: Path) -> Path | None:
    """The report of the last accepted version; None: the first one, or the same one again.

    A version is not compared with itself, so that validating it again gives the same result.
    """
    kept = _kept(name)
    try:
        same = (
            ValidationReport.load(kept).dataset_digest
            == DatasetManifest.load(samples / "manifest.json").digest
        )
    except StorageError:
        return kept if kept.exists() else None
    return None if same else kept


def accept(name: str, report: Path) -> None:
    """Makes the report in folder `report` the last accepted one."""
    with replacing(_kept(name)) as scratch:
        shutil.copyfile(report / "validation.json", scratch)


def _kept(name: str) -> Path:
    return state_dir() / "accepted" / f"{name}.json"
