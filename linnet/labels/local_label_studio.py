"""A Label Studio server of this machine: installed into a venv of its own, started and stopped here.

It listens on loopback only, keeps its data (SQLite, images) under `.linnet/label-studio/`, and gets a
generated password and token; the file that holds them can be read by its owner only.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from linnet.errors import LabelServerError
from linnet.labels.label_studio import LabelStudio
from linnet.process.state import ProcessState
from linnet.storage.files import writing
from linnet.storage.paths import state_dir

VERSION = "1.23.2"
USER = "linnet@localhost.local"
NAME = "local"
"""What the label table calls this server: its port may change."""
INSTALL_SECONDS, START_SECONDS, STOP_SECONDS = 900.0, 900.0, 20.0
"""Longest waits; 15, 30 and 1 are usual, and a busy machine takes ten times as long."""
_children: dict[int, subprocess.Popen[bytes]] = {}
"""Servers that this process started, so that it can collect them when they end."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Studio(ProcessState):
    """The server of this machine: the contents of its state file."""

    user: str
    password: str = field(repr=False)
    token: str = field(repr=False)

    def client(self, images: str = "data-uri") -> LabelStudio:
        """Opens a connection."""
        return LabelStudio(self.url, self.token, images, name=NAME)


def folder() -> Path:
    """Where the server's environment, data and state file lie."""
    return state_dir() / "label-studio"


def running() -> Studio | None:
    """The server that runs here; None if there is none."""
    return Studio.read(_file())


def up(port: int = 0, say: Say = lambda _: None, environment: Path | None = None) -> Studio:
    """Installs Label Studio if need be, starts it, and waits for it; the one that runs, if one does.

    Args:
        port: 0 takes the port of last time, or a free one.
        say: Told in words what is being done.
        environment: A venv that has, or gets, Label Studio; not given: one under `.linnet/`.

    Raises:
        LabelServerError: it cannot be installed or does not start; says where its log is.
    """
    if (found := running()) is not None:
        return found
    home = folder()
    with writing(home):
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        program = install(environment or home / "venv", say)
        before = Studio.last(_file())  # port, password and token stay
        chosen = port or _free_port(int(before.url.rpartition(":")[2]) if before else 0)
        password = before.password if before else secrets.token_urlsafe(12)
        token = before.token if before else secrets.token_hex(20)
        say("starting Label Studio (the first start makes its database: half a minute)")
        with (home / "server.log").open("wb") as log:
            process = subprocess.Popen(
                _command(program, chosen),
                env=_environment(password, token),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        _children[process.pid] = process
        studio = Studio.of(process.pid, f"http://127.0.0.1:{chosen}", USER, password, token)
        studio.write(_file())
    try:
        _wait(studio, process)
    except BaseException:
        stop(studio)
        raise
    return studio


def down() -> bool:
    """Stops the server; False if none runs. Its projects, password and token stay for the next start."""
    studio = running()
    if studio is None:
        return False
    stop(studio)
    return True


def stop(studio: Studio) -> None:
    """Asks the server's processes to end, and makes them."""
    deadline = time.monotonic() + STOP_SECONDS
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(studio.pid, number)
        while time.monotonic() < deadline:
            if (child := _children.get(studio.pid)) is not None:
                child.poll()
            if not studio.is_running():
                if child is not None:
                    child.wait()  # it ended between the two looks
                return
            time.sleep(0.05)
        deadline = time.monotonic() + STOP_SECONDS


def install(environment: Path, say: Say = lambda _: None) -> Path:
    """Installs Label Studio into a venv, once; its program.

    Raises:
        LabelServerError: no installer could; the text is the last thing that pip said.
    """
    program, done = environment / "bin" / "label-studio", environment / f".label-studio-{VERSION}"
    if done.exists() and program.exists():
        return program
    say(f"installing Label Studio {VERSION} into {environment}")
    problem = ""
    for steps in _installers(environment):
        problem = next(filter(None, map(_problem, steps)), "")
        if not problem:
            done.touch()
            return program
    remedy = "connect to a package index, or name a server that exists in labels.server"
    raise LabelServerError("of this machine", f"cannot be installed: {problem}", remedy, transient=True)


def _installers(environment: Path) -> Iterator[list[list[str]]]:
    """Commands of each installer to try: uv where there is one (a quarter of pip's time), then pip.

    uv does not know pip's settings, such as the index of a company: where it fails, pip may not.
    """
    package, folders = f"label-studio=={VERSION}", [str(Path(sys.executable).parent), *os.get_exec_path()]
    if uv := shutil.which("uv", path=os.pathsep.join(folders)):
        python = str(environment / "bin" / "python")
        make = [sys.executable, "-m", "venv", "--without-pip", str(environment)]
        yield [make, [uv, "pip", "install", "--quiet", "--python", python, package]]
    pip = [str(environment / "bin" / "pip"), "install", "-q", "--disable-pip-version-check"]
    # Not compiled: the server compiles what it loads at its first start, and that is a tenth of it.
    yield [[sys.executable, "-m", "venv", str(environment)], [*pip, "--no-compile", package]]


def _problem(words: list[str]) -> str:
    """Runs a command; why it failed, or nothing."""
    try:
        ran = subprocess.run(words, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if not ran.returncode:
        return ""
    said = ran.stderr.splitlines()
    return next(iter([line for line in said if line.startswith("ERROR")] or said[-1:]), f"{words[0]} failed")


def _command(program: Path, port: int) -> list[str]:
    words = [str(program), "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port)]
    return [*words, "--data-dir", str(folder() / "data"), "--log-level", "WARNING"]


def _environment(password: str, token: str) -> dict[str, str]:
    """User, password and token go by the environment: a command line is seen by everybody here."""
    # Its bytecode is kept whatever this process does: without, each start compiles thousands of files.
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("LABEL_STUDIO_") and name != "PYTHONDONTWRITEBYTECODE"
    }
    return {
        **kept,
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder() / "data"),
        "LABEL_STUDIO_USERNAME": USER,
        "LABEL_STUDIO_PASSWORD": password,
        "LABEL_STUDIO_USER_TOKEN": token,
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
        "LABEL_STUDIO_LATEST_VERSION_CHECK": "false",
        "LATEST_VERSION_CHECK": "false",
        "SSRF_PROTECTION_ENABLED": "false",  # its webhooks go to this machine
        "COLLECT_ANALYTICS": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
    }


def _wait(studio: Studio, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    log = folder() / "server.log"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            said = log.read_text("utf-8", "replace").strip().splitlines()
            raise LabelServerError(
                studio.url, f"ended: {said[-1] if said else 'it exited without output'}", f"see {log}"
            )
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{studio.url}/health", timeout=5).status_code == 200:
                with studio.client() as client:
                    client.check()
                return
        time.sleep(0.2)
    raise LabelServerError(studio.url, f"did not answer within {START_SECONDS:.0f} seconds", f"see {log}")


def _free_port(wanted: int) -> int:
    """`wanted` if it is free, or any that is."""
    for port in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise LabelServerError("of this machine", "no port is free")


def _file() -> Path:
    return folder() / "server.json"
