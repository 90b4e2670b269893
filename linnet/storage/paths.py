"""Where Linnet keeps local state: one folder, `.linnet/`, that may be deleted to start afresh."""

from __future__ import annotations

import os
from pathlib import Path


def state_dir() -> Path:
    """The state folder: `LINNET_HOME`, or `.linnet` in the current folder. It need not exist yet."""
    return Path(os.environ.get("LINNET_HOME", ".linnet")).resolve()


def server_state_file() -> Path:
    """The file in which the server of this machine (`linnet up`) says where it is."""
    return state_dir() / "serving" / "server.json"


def prediction_log_dir() -> Path:
    """The folder of this machine's prediction log: what was served, and the feedback on it."""
    return state_dir() / "serving" / "log"


def api_keys_file() -> Path:
    """The file that holds the digests of this machine's API keys."""
    return state_dir() / "serving" / "keys.json"
