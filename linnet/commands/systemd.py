"""`linnet up --install`: a systemd user unit that runs `linnet up`, so that it is there after a boot."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from rich.console import Console

from linnet.storage.files import write_text
from linnet.storage.paths import state_dir

_UNIT = """\
# Written by `linnet up --install`; written anew by the next one.
[Unit]
Description=Linnet for {home}
After=network.target

[Service]
WorkingDirectory={folder}
Environment={environment}
ExecStart={start}
ExecStop={stop}
KillSignal=SIGINT
TimeoutStopSec=60
Restart=always
RestartSec=2
RestartSteps=6
RestartMaxDelaySec=60

[Install]
WantedBy=default.target
"""


def unit_name(home: Path) -> str:
    """One unit a state folder: two of one machine do not replace each other."""
    return f"linnet-{hashlib.sha256(str(home).encode()).hexdigest()[:8]}.service"


def unit(words: list[str], home: Path, folder: Path) -> str:
    """The unit's text; `words`: those of `linnet up`, which run in `folder` with the state folder `home`."""
    linnet = [sys.executable, "-m", "linnet"]
    return _UNIT.format(
        home=_escaped(str(home)),
        folder=_escaped(str(folder)),
        environment=_quoted(f"LINNET_HOME={home}"),
        start=_command([*linnet, *words]),
        stop=_command([*linnet, "down"]),
    )


def install_unit(words: list[str], console: Console) -> Path:
    """Writes the unit of this state folder and says how it is enabled; nothing is started here.

    Raises:
        StorageError: it cannot be written.
    """
    base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    path = base / "systemd" / "user" / unit_name(state_dir())
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, unit(words, state_dir(), Path.cwd()))
    console.print(f"wrote {path}", soft_wrap=True, highlight=False)
    for line in (
        f"systemctl --user daemon-reload && systemctl --user enable --now {path.name}",
        "loginctl enable-linger    # so that it runs while nobody is logged in",
        f"systemctl --user disable --now {path.name}    # ends it for good",
    ):
        console.print(f"  {line}", soft_wrap=True, highlight=False)
    return path


def _command(words: list[str]) -> str:
    """A command line, in which `$` begins no variable."""
    return " ".join(_quoted(word.replace("$", "$$")) for word in words)


def _escaped(text: str) -> str:
    """Text as a unit's value: `%` begins a specifier there."""
    return text.replace("%", "%%")


def _quoted(word: str) -> str:
    """A word as systemd reads it, in which every sign stands for itself (systemd.syntax(7))."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_escaped(escaped)}"'
