"""Checkpoints: the state after an epoch, whole or not at all, and only ever continued by its own run."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch

from linnet.config import TrainConfig
from linnet.errors import StorageError, TrainingError

FILE = "checkpoint.pt"
_FORMAT = 3
"""Raise this when the meaning of a checkpoint or the course of training changes."""


def fingerprint(
    config: TrainConfig, dataset_digest: str, architecture: dict[str, Any], pretrained: str = ""
) -> str:
    """Names a training run: its config, the dataset, the network, and the weights it starts from.

    `pretrained` is the digest of a backbone's pretrained weights.
    """
    known = {
        "format": _FORMAT,
        "config": config.values(),
        "dataset": dataset_digest,
        "architecture": architecture,
        "pretrained": pretrained,
        "init_weights": _file_digest(config.init_weights),
    }
    return hashlib.blake2b(json.dumps(known, sort_keys=True).encode(), digest_size=16).hexdigest()


def _file_digest(path: str) -> str:
    if not path:
        return ""
    try:
        return hashlib.blake2b(Path(path).read_bytes(), digest_size=16).hexdigest()
    except OSError as error:
        raise TrainingError(
            f"train.init_weights: {path} cannot be read ({error.strerror}); give a model.pt that Linnet wrote"
        ) from error


def save_checkpoint(work: Path, name: str, state: dict[str, Any]) -> None:
    """Writes the state of the run `name` into `work` atomically: a kill leaves the one before.

    Raises:
        StorageError: the folder cannot be written.
    """
    partial = work / f"{FILE}.partial"
    try:
        work.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            torch.save({"fingerprint": name, **state}, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(work / FILE)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        raise StorageError(f"{work}: the checkpoint cannot be written ({error}); free some space") from error


def load_checkpoint(work: Path, name: str) -> tuple[dict[str, Any] | None, str]:
    """The last state of the run `name`, or None, and a message if something else was found."""
    path = work / FILE
    if not path.exists():
        return None, ""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        found = state["fingerprint"]
    except Exception as error:  # noqa: BLE001  torch raises many kinds on damaged files
        return None, f"{path}: damaged ({error}); starting afresh"
    if found != name:
        return None, f"{path}: belongs to another config or dataset; starting afresh"
    return state, ""
