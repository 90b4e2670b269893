from __future__ import annotations

import stat
from pathlib import Path

import pytest

from linnet.console.access import SESSION_SECONDS, ConsoleAccess, refusal

HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


def test_tokens_are_kept_in_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "console" / "access.json"
    access = ConsoleAccess.of(path)
    assert ConsoleAccess.of(path) == access
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert access.operator not in repr(access) and access.key not in repr(access)
    assert access.role_of_token(access.operator) == "operator"
    assert access.role_of_token(access.viewer) == "viewer"
    assert access.role_of_token("") is None and access.role_of_token(access.key) is None


def test_cookie_opens_its_role_until_it_is_too_old() -> None:
    now = [1000.0]
    access = ConsoleAccess("v", "o", "key", clock=lambda: now[0])
    cookie = access.cookie("viewer")
    assert access.role_of_cookie(cookie) == "viewer"
    now[0] += SESSION_SECONDS + 1
    assert access.role_of_cookie(cookie) is None


def test_cookie_that_was_changed_opens_nothing() -> None:
    access = ConsoleAccess("v", "o", "key")
    cookie = access.cookie("viewer")
    assert access.role_of_cookie(cookie.replace("viewer", "operator")) is None
    assert access.role_of_cookie(ConsoleAccess("v", "o", "other").cookie("operator")) is None
    assert access.role_of_cookie("") is None and access.role_of_cookie("a.b") is None


@pytest.mark.parametrize(
    ("host", "origin", "method", "websocket", "word"),
    [
        ("127.0.0.1:8080", None, "GET", False, ""),
        ("127.0.0.1:8080", "http://127.0.0.1:8080", "POST", False, ""),
        ("[::1]:8080", "http://[::1]:8080", "POST", False, ""),
        ("127.0.0.1:8080", "http://127.0.0.1:8080", "GET", True, ""),
        ("evil.example:8080", None, "GET", False, "not served as"),
        ("127.0.0.1:8080", "http://evil.example", "POST", False, "another site"),
        ("127.0.0.1:8080", "http://127.0.0.1:9999", "POST", False, "another site"),
        ("127.0.0.1:8080", "http://evil.example", "GET", True, "another site"),
        ("127.0.0.1:8080", "null", "POST", False, "another site"),
        ("127.0.0.1:8080", None, "POST", False, "no Origin"),
        ("127.0.0.1:8080", None, "GET", True, "no Origin"),
    ],
)
def test_requests_are_refused_for_where_they_come_from(
    host: str, origin: str | None, method: str, websocket: bool, word: str
) -> None:
    why = refusal(host, origin, method, websocket, HOSTS)
    assert word in why and bool(why) == bool(word)
