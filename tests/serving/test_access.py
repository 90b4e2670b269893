"""API keys: what is kept of them, what they open, and how much."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from linnet.errors import RequestRejected, ServingError
from linnet.serving.access import AccessControl
from linnet.serving.keys import KeyFile, find
from linnet.serving.shared import SharedPage
from tests.serving.packages import make_package
from tests.serving.running import png, running


@pytest.fixture
def page() -> Iterator[SharedPage]:
    page = SharedPage.create()
    yield page
    page.close()


def status(access: AccessControl, key: str | None, scope: str) -> int:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    try:
        access.admit(headers, scope)  # type: ignore[arg-type]
    except RequestRejected as error:
        return error.status
    return 200


def test_file_keeps_digests_and_no_keys(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    made, secret = keys.create("shop", ("infer",))
    assert secret not in keys.path.read_text() and secret.split("_", 2)[2] not in keys.path.read_text()
    assert keys.path.stat().st_mode & 0o777 == 0o600
    found = find(keys.read(), secret)
    assert found is not None and found[1] == made
    assert find(keys.read(), secret + "x") is None and find(keys.read(), "") is None
    keys.revoke(made.id)
    assert find(keys.read(), secret) is None
    with pytest.raises(ServingError, match="linnet keys list"):
        keys.revoke("nothing")


def test_scopes_open_what_they_name(tmp_path: Path, page: SharedPage) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    _, infer = keys.create("shop", ("infer",))
    _, admin = keys.create("bot", ("admin",))
    closed = AccessControl("token", keys.path, True, page)
    opened = AccessControl("token", keys.path, False, page)
    table = {
        (None, "infer"): (401, 200), (None, "admin"): (401, 401),
        (infer, "infer"): (200, 200), (infer, "admin"): (403, 403),
        (admin, "infer"): (403, 403), (admin, "admin"): (200, 200),
        ("token", "infer"): (200, 200), ("token", "admin"): (200, 200),
        ("lk_00000000_wrong", "infer"): (401, 401), ("wrong", "admin"): (401, 401),
    }  # fmt: skip
    for (key, scope), expected in table.items():
        assert (status(closed, key, scope), status(opened, key, scope)) == expected, (key, scope)


def test_budget_is_one_for_all_processes(tmp_path: Path, page: SharedPage) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    _, secret = keys.create("shop", ("infer",), rate=5)
    both = [AccessControl("token", keys.path, True, page) for _ in range(2)]
    found = [status(both[i % 2], secret, "infer") for i in range(12)]
    assert found.count(200) in (5, 6) and set(found) == {200, 429}


def test_budget_fills_up_again(page: SharedPage) -> None:
    second = 1_000_000_000
    assert [page.spend(3, 2.0, 10 * second) > 0 for _ in range(3)] == [False, False, True]
    assert page.spend(3, 2.0, 10 * second + second // 2) == 0
    assert page.spend(4, 0.5, 10 * second) == 0 and page.spend(4, 0.5, 11 * second) > 0


def test_server_asks_for_keys_and_follows_the_file(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    made, secret = keys.create("shop", ("infer",))
    flags = ("--keys", str(keys.path), "--config-json", json.dumps({"require_key": True}), "--workers", "1")
    with running(tmp_path / "run", make_package(tmp_path / "package"), "1", *flags) as server:

        def ask(key: str | None, path: str = "/predict") -> int:
            headers = {} if key is None else {"Authorization": f"Bearer {key}"}
            return server.client.request("POST", path, png(9), headers)[0]

        assert (ask(None), ask("wrong"), ask(secret)) == (401, 401, 200)
        assert ask(None, "/v2/models/tiny/infer") == 401 and ask(None, "/feedback") == 401
        assert server.client.ready()  # a probe needs no key
        keys.revoke(made.id)
        until = time.monotonic() + 90
        while ask(secret) == 200 and time.monotonic() < until:
            time.sleep(0.1)
        assert ask(secret) == 401
