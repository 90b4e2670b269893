"""The adapter to Feast: one store a use case, under `.linnet/feast/NAME/`.

Feast's registry, online database and offline files of a use case lie in its own folder and under its
own Feast project, so that two datasets never mix. The definitions are those of `feature_repo/`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

import linnet
from linnet.errors import ConfigError, DataError, StorageError
from linnet.features.feast_import import import_feast
from linnet.features.history import EVENT, INPUT, KEY, name_input
from linnet.progress import Progress
from linnet.storage.files import write_text
from linnet.storage.locks import file_lock
from linnet.storage.paths import state_dir
from linnet.vision.preprocessing import input_key
from linnet.vision.statistics import FEATURES

if TYPE_CHECKING:
    import pandas as pd


STATISTICS, LABELS = "image_statistics", "labels"
"""Names of the feature views, and of their offline files."""
REPO = Path(linnet.__file__).parents[1] / "feature_repo"
DYNAMIC_IMPORTS = ("feature_repo.views",)
"""What is imported by a path: the cache's key cannot see it otherwise."""
_ONLINE_BATCH = 5_000
_READ_BATCH = 500
"""Keys a read: SQLite limits the number of values in one query."""


class FeatureStore:
    """The feature store of the use case `name`; nothing is imported or opened before it is needed."""

    def __init__(self, name: str, root: Path | None = None) -> None:
        self.name = name
        self.root = root if root is not None else state_dir() / "feast" / name
        self.offline = self.root / "offline"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from writing this store meanwhile."""
        with file_lock(self.root / ".lock"):
            yield

    @cached_property
    def settings(self) -> dict[str, Any]:
        """`feature_store.yaml` with this use case's project and absolute paths."""
        import yaml

        try:
            template = os.path.expandvars((REPO / "feature_store.yaml").read_text("utf-8"))
        except OSError as error:
            raise ConfigError(str(REPO / "feature_store.yaml"), f"cannot be read: {error}") from error
        values: dict[str, Any] = yaml.safe_load(template)
        # Feast's SQLite tables cannot hold a hyphen; `_` is doubled so that no two names meet.
        values["project"] = self.name.replace("_", "__").replace("-", "_h")
        if values["registry"]["registry_type"] == "file":
            values["registry"]["path"] = str(self.root / "registry.db")
        if values["online_store"]["type"] == "sqlite":
            values["online_store"]["path"] = str(self.root / "online.db")
        return values

    def apply(self) -> None:
        """Makes the registry and the online tables match the definitions; quick when they do."""
        _ = self.feast

    @cached_property
    def feast(self) -> Any:
        """The `feast.FeatureStore`, with the definitions applied (again only when they changed)."""
        feast = import_feast()
        store = feast.FeatureStore(config=feast.RepoConfig(repo_path=self.root, **self.settings))
        if self._read_stamp().get("definitions") != self.definitions_digest:
            self._apply(store)
        return store

    @property
    def definitions_digest(self) -> str:
        """Digest of all that `apply` depends on: definitions, settings and Feast's version."""
        from importlib.metadata import version

        digest = hashlib.blake2b(digest_size=16)
        for part in (
            (REPO / "views.py").read_bytes(),
            json.dumps(self.settings, sort_keys=True).encode(),
            ",".join(FEATURES).encode(),
            version("feast").encode(),
        ):
            digest.update(len(part).to_bytes(8, "big") + part)
        return digest.hexdigest()

    def statistics_file(self) -> Path:
        """The offline file of the image statistics."""
        return self.offline / f"{STATISTICS}.parquet"

    def _apply(self, store: Any) -> None:
        import yaml

        self.offline.mkdir(parents=True, exist_ok=True)
        name_input(self.statistics_file(), self._input_of_before())
        views = _load(REPO / "views.py")
        with warnings.catch_warnings():
            # Feast calls every on-demand view experimental, each time.
            warnings.filterwarnings("ignore", message="On demand feature view", category=RuntimeWarning)
            store.apply(views.definitions(self.offline))
        (self.root / "feature_store.yaml").write_text(yaml.safe_dump(self.settings), "utf-8")
        self._write_stamp(definitions=self.definitions_digest)

    def _input_of_before(self) -> str:
        """The input of statistics that a version without INPUT wrote: what its stamp says that they are of.

        It noted height, width and channels only; images that have that size already are the same whatever
        the fit. Unknown where the stamp is gone: no model's input, so that the next run writes them anew.
        """
        noted = re.search(r"(?<!\S)(\d+)x(\d+)x(\d+)(?!\S)", self._read_stamp().get("holds", ""))
        if noted is None:
            return "unknown"
        height, width, channels = (int(side) for side in noted.groups())
        return input_key(height, width, channels, "squash")

    def historical(
        self,
        service: str,
        columns: Sequence[str],
        sample_ids: Sequence[str],
        times: Sequence[datetime],
        created_by_then: bool = False,
        model_input: str = "",
    ) -> pd.DataFrame:
        """Point-in-time join: of every sample the values that held at its time, one row per sample in order.

        Args:
            service: a Feast feature service.
            columns: the service's features, in the order that is wanted.
            sample_ids: may repeat, with other times.
            times: with time zone.
            created_by_then: leave out what was written only after the time that is asked about
                (a backfill), as a request at that time could not have seen it.
            model_input: what the model sees of an image (`input_key`); a service of statistics needs it.

        Returns:
            A frame with `columns`; a value that did not exist yet is null.
        """
        import pandas as pd

        keys = pd.DataFrame(
            {KEY: list(sample_ids), EVENT: pd.to_datetime(list(times), utc=True).as_unit("us")}
        )
        unique = keys.drop_duplicates(ignore_index=True)
        asked = unique.assign(**{INPUT: model_input}) if model_input else unique.copy()
        known = self._service(service)
        with warnings.catch_warnings():
            # ibis calls DuckDB by a name that DuckDB gave up.
            warnings.filterwarnings("ignore", message="fetch_arrow_table", category=DeprecationWarning)
            job = self.feast.get_historical_features(
                entity_df=asked, features=known, filter_by_created_timestamp=created_by_then
            )
            joined = job.to_df()
        joined[EVENT] = joined[EVENT].dt.as_unit("us")
        return keys.merge(joined, on=[KEY, EVENT], how="left", validate="many_to_one")[list(columns)]

    def write_online(self, view: str, rows: pd.DataFrame, progress: Progress | None = None) -> None:
        """Puts rows (as in the offline file) into the online store, whatever was there before."""
        for start in range(0, len(rows), _ONLINE_BATCH):
            self.feast.write_to_online_store(view, rows.iloc[start : start + _ONLINE_BATCH])
            if progress:
                progress("online store", min(start + _ONLINE_BATCH, len(rows)), len(rows))

    def online(self, service: str, sample_ids: Sequence[str], model_input: str) -> npt.NDArray[np.float32]:
        """Features of known samples, prepared as `model_input` says, from the online store.

        Returns:
            float32 [N, F]; NaN where a sample is unknown, or was never prepared so.
        """
        rows = [{KEY: sample_id, INPUT: model_input} for sample_id in sample_ids]
        return self._read(service, rows)

    def on_demand(self, service: str, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Features of uint8 images [N, H, W, C] through Feast's on-demand view: float32 [N, F]."""
        _, height, width, channels = images.shape
        rows = [
            {"pixels": image.tobytes(), "height": height, "width": width, "channels": channels}
            for image in images
        ]
        return self._read(service, rows)

    def _read(self, service: str, rows: list[dict[str, Any]]) -> npt.NDArray[np.float32]:
        result = np.empty((len(rows), len(FEATURES)), np.float32)
        for start in range(0, len(rows), _READ_BATCH):
            batch = rows[start : start + _READ_BATCH]
            answer = self.feast.get_online_features(
                features=self._service(service), entity_rows=batch
            ).to_dict()
            for column, name in enumerate(FEATURES):
                result[start : start + len(batch), column] = answer[name]
        return result

    def _service(self, name: str) -> Any:
        store = self.feast  # first: it imports Feast the quick way, and nothing else does
        from feast.errors import FeatureServiceNotFoundException

        try:
            return store.get_feature_service(name)
        except FeatureServiceNotFoundException as error:
            known = ", ".join(sorted(service.name for service in store.list_feature_services()))
            raise ConfigError(
                "features.service", f"there is no service {name!r}", f"known: {known}"
            ) from error

    def mark(self, **values: str) -> None:
        """Notes in the store's stamp what it holds."""
        self._write_stamp(**values)

    def marked(self, key: str) -> str:
        """What `mark` noted, or an empty string; void once the settings or definitions changed."""
        stamp = self._read_stamp()
        current = stamp.get("definitions") == self.definitions_digest
        return stamp.get(key, "") if current else ""

    def _read_stamp(self) -> dict[str, str]:
        """The stamp, empty if the registry or the online database that it speaks of is gone."""
        registry, online = self.settings["registry"], self.settings["online_store"]
        needed = [self.root / "stamp.json"]
        needed += [Path(registry["path"])] if registry["registry_type"] == "file" else []
        needed += [Path(online["path"])] if online["type"] == "sqlite" else []
        if not all(path.exists() for path in needed):
            return {}
        try:
            stamp: dict[str, str] = json.loads(needed[0].read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return stamp

    def _write_stamp(self, **values: str) -> None:
        path = self.root / "stamp.json"
        # Applying anew voids what was noted before.
        kept = {} if "definitions" in values else self._read_stamp()
        try:
            write_text(path, json.dumps({**kept, **values}, indent=1) + "\n")
        except OSError as error:
            raise StorageError(f"{path}: cannot be written: {error}") from error


def _load(path: Path) -> ModuleType:
    """Loads a module of feature_repo/ by its path: that folder is Feast's, not an installed package."""
    spec = importlib.util.spec_from_file_location("linnet_feature_repo", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except OSError as error:
        raise DataError(str(path), f"the feature definitions cannot be read: {error}") from error
    return module
