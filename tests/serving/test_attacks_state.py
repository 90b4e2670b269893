"""Attacks on what the server keeps: labels, keys, the prediction log; and web pages that call it."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from linnet.errors import RequestRejected
from linnet.records.prediction_log import feedback_schema, served_files
from linnet.serving.client import ServerClient
from linnet.serving.feedback import Feedback, parse_feedback
from linnet.serving.keys import KeyFile
from tests.serving.attacking import PYTHON_TEXT, bounded_growth, processes, warm_up
from tests.serving.packages import CLASSES, make_package
from tests.serving.running import RunningServer, png, running
from tests.serving.written_labels import read_feedback
from tests.waiting import until


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_package(tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, package: Path) -> Iterator[RunningServer]:
    settings = {
        "workers": 2,
        "feedback_labels": 5_000,
        "feedback_mb": 1.0,
        "origins": ["https://shop.example"],
    }
    flags = ("--config-json", json.dumps(settings))
    with running(tmp_path_factory.mktemp("state"), package, "1", *flags) as started:
        warm_up(started)
        yield started


def tell(server: RunningServer, document: Any, **headers: str) -> tuple[int, str]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    status, _, content = server.client.request("POST", "/feedback", json.dumps(document).encode(), sent)
    assert not any(word in content.decode() for word in PYTHON_TEXT)
    return status, content.decode()


BAD_ROWS = {
    "half a surrogate pair as id": {"request_id": "\ud800", "label": "dark"},
    "half a surrogate pair as source": {"request_id": "a", "label": "dark", "source": "\udfff"},
    "an id of control characters": {"request_id": "a\r\nb", "label": "dark"},
    "an id with a NUL": {"request_id": "a\0", "label": "dark"},
    "an index beyond 31 bits": {"request_id": "a", "label": "dark", "index": 1 << 31},
    "a label that is a list": {"request_id": "a", "label": ["dark"]},
    "a label that is an object": {"request_id": "a", "label": {}},
    "an id of 10,000 characters": {"request_id": "a" * 10_000, "label": "dark"},
    "a source that is a number": {"request_id": "a", "label": "dark", "source": 1e300},
}


@pytest.mark.parametrize("bad", BAD_ROWS)
def test_bad_row_is_refused_alone_and_the_shared_batch_is_written(server: RunningServer, bad: str) -> None:
    """All of these arrive within one batch of the writer: before, one of them lost the others."""
    import threading

    found: dict[str, int] = {}

    def send(name: str, document: Any) -> None:
        client = ServerClient(server.state.url)
        found[name] = client.request("POST", "/feedback", json.dumps(document).encode())[0]
        client.close()

    named = {
        f"{abs(hash(bad))}-{i}": {"request_id": f"{abs(hash(bad))}-{i}", "label": "dim"} for i in range(8)
    }
    threads = [threading.Thread(target=send, args=one) for one in [*named.items(), ("bad", BAD_ROWS[bad])]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found.pop("bad") == 400 and set(found.values()) == {200}, found
    assert set(named) <= {row["request_id"] for row in read_feedback(server.log_dir)}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.sampled_from(CLASSES),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
ROWS = st.fixed_dictionaries(
    {"request_id": JSON, "label": st.sampled_from(CLASSES) | JSON},
    optional={"index": st.integers(-2, 1 << 40) | JSON, "source": st.text(st.characters(codec=None)) | JSON},
)


@given(ROWS)
def test_every_row_that_is_accepted_can_be_written(row: Any) -> None:
    try:
        rows, wrong = parse_feedback(row, set(CLASSES))
    except RequestRejected as error:
        assert error.status == 400
        return
    assert not wrong
    pa.Table.from_pylist(rows, schema=feedback_schema()).validate(full=True)


@pytest.mark.slow
def test_labels_for_unknown_requests_are_bounded_in_memory_and_on_disk(server: RunningServer) -> None:
    random.seed(0)
    found = set()
    with bounded_growth(server, 45):
        for number in range(120):  # 108,000 labels
            labels = [
                {"request_id": f"{random.getrandbits(128):032x}", "label": "dim", "source": f"{number}-{i}"}
                for i in range(900)
            ]
            status, said = tell(server, {"labels": labels})
            found.add(status)
    assert found == {200, 503} and "serving.feedback_mb" in said and "move old" in said
    size = sum(path.stat().st_size for path in server.log_dir.glob("feedback-*"))
    assert 1_000_000 < size < 2_000_000
    for path in server.log_dir.glob("feedback-*"):
        path.unlink()
    assert tell(server, {"request_id": "there is room", "label": "dim"})[0] == 200


def test_label_that_is_sent_again_and_again_stays_known_while_others_come(tmp_path: Path) -> None:
    import asyncio

    async def scenario() -> None:
        feedback = Feedback(tmp_path, remembered=100)
        for round_ in range(3):
            many = [{"request_id": f"{round_}-{i}", "label": "dim"} for i in range(90)]
            await feedback.take({"labels": many}, "tiny", set(CLASSES))
            assert await feedback.take({"labels": many}, "tiny", set(CLASSES)) == {"written": 0, "known": 90}
        feedback.close()
        again = Feedback(tmp_path, remembered=100)  # the newest are read back, and no more
        assert await again.take({"labels": many}, "tiny", set(CLASSES)) == {"written": 0, "known": 90}
        again.close()

    asyncio.run(scenario())


def test_damaged_label_file_is_passed_over(tmp_path: Path) -> None:
    import asyncio

    (tmp_path / "feedback-20260101T000000-1-000001.parquet").write_bytes(b"PAR1 torn")

    async def scenario() -> None:
        feedback = Feedback(tmp_path)
        assert await feedback.take({"request_id": "a", "label": "dim"}, "tiny", set(CLASSES)) == {
            "written": 1,
            "known": 0,
        }
        feedback.close()

    asyncio.run(scenario())


PAGES = {
    "a page of another site": {"Origin": "https://evil.example"},
    "a page of another port": {"Origin": "http://localhost:9999"},
    "a page without an origin": {"Origin": "null"},
    "a form of another site": {"Sec_Fetch_Site": "cross-site", "Content_Type": "text/plain"},
    "a form of another port": {"Sec_Fetch_Site": "same-site"},
    "a name that was pointed here": {"Origin": "http://evil.example:8090", "Host": "evil.example:8090"},
    "a longer name of a known site": {"Origin": "https://shop.example.evil.example"},
    "a known site by another scheme": {"Origin": "http://shop.example"},
    "a known site by another port": {"Origin": "https://shop.example:444"},
}


@pytest.mark.parametrize("page", PAGES)
def test_web_page_of_another_site_changes_nothing(server: RunningServer, page: str) -> None:
    status, said = tell(server, {"request_id": page, "label": "dark"}, **PAGES[page])
    assert status == 403 and "serving.origins" in said
    sent = {name.replace("_", "-"): value for name, value in PAGES[page].items()}
    token = {"Authorization": f"Bearer {server.state.token}"}
    for method, path in (("POST", "/predict"), ("PUT", "/admin/routes"), ("POST", "/v2/models/tiny/infer")):
        assert server.client.request(method, path, png(9), {**sent, **token})[0] == 403
    assert page not in {row["request_id"] for row in read_feedback(server.log_dir)}


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8090", "localhost.evil.example", "127.0.0.1.nip.io", "[evil]"]
)
def test_name_that_was_pointed_here_changes_nothing(server: RunningServer, host: str) -> None:
    status, said = tell(server, {"request_id": host, "label": "dark"}, Host=host)
    assert status == 421 and "serving.hosts" in said
    status, _, _ = server.client.request("GET", "/admin/routes", b"", {"Host": host})
    assert status == 421


@pytest.mark.parametrize("headers", [{"Origin": "https://shop.example"}, {"Host": "localhost:1"}, {"Host": "[::1]:8090"},
                                     {"Host": "10.0.0.7"}, {"Sec_Fetch_Site": "none"}])  # fmt: skip
def test_allowed_page_and_programs_are_served(server: RunningServer, headers: dict[str, str]) -> None:
    assert tell(server, {"request_id": "allowed", "label": "dark"}, **headers)[0] == 200


TORN: dict[str, Callable[[bytes], bytes]] = {
    "half of it": lambda whole: whole[: len(whole) // 2],
    "nothing": lambda _: b"",
    "zeros": lambda whole: bytes(len(whole)),
    "another thing": lambda _: b'{"keys": []}',
    "a key without a digest": lambda whole: whole.replace(b'"digest"', b'"digits"'),
    "no text": lambda _: b"\xff\xfe\x00",
    "a number": lambda _: b"5",
    "lists in lists": lambda _: b"[" * 100_000,
}


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory, package: Path) -> Iterator[tuple[RunningServer, KeyFile]]:
    folder = tmp_path_factory.mktemp("keyed")
    file = KeyFile(folder / "keys.json")
    file.create("first", ("infer",))
    flags = ("--keys", str(file.path), "--config-json", '{"workers": 1, "require_key": true}')
    with running(folder, package, "1", *flags) as started:
        yield started, file


@pytest.mark.parametrize("torn", TORN)
def test_torn_key_file_admits_nobody_and_least_of_all_a_revoked_key(
    keyed: tuple[RunningServer, KeyFile], torn: str
) -> None:
    server, file = keyed
    key, secret = file.create("to be revoked", ("infer",))
    _, good = file.create("good", ("infer",))

    def status(token: str) -> tuple[int, str]:
        answer = server.client.request("POST", "/predict", png(9), {"Authorization": f"Bearer {token}"})
        return answer[0], answer[2].decode()

    until(lambda: status(secret)[0] == status(good)[0] == 200, "the new keys are known")
    file.revoke(key.id)
    whole = file.path.read_bytes()
    file.path.write_bytes(TORN[torn](whole))  # before the worker looked again
    until(lambda: status(secret)[0] != 200, "the worker has looked at the torn file")
    for token in (secret, good):
        found, said = status(token)
        assert (
            found == 503 and "keys cannot be read" in said and not any(word in said for word in PYTHON_TEXT)
        )
    assert status(server.state.token)[0] == 200  # it does not depend on the file
    file.path.write_bytes(whole)
    until(lambda: status(secret)[0] == 401 and status(good)[0] == 200, "the whole file is read again")


def test_key_file_that_is_gone_or_a_folder_admits_nobody(keyed: tuple[RunningServer, KeyFile]) -> None:
    server, file = keyed
    _, secret = file.create("one", ("infer",))
    whole = file.path.read_bytes()

    def status() -> int:
        return server.client.request("POST", "/predict", png(9), {"Authorization": f"Bearer {secret}"})[0]

    until(lambda: status() == 200, "the new key is known")
    file.path.unlink()
    assert until(lambda: status() != 200 and status(), "the file is gone") == 401
    file.path.mkdir()
    assert until(lambda: status() != 401 and status(), "the file is a folder") == 503
    file.path.rmdir()
    file.path.write_bytes(whole)
    assert until(lambda: status() != 503 and status(), "the file is back") == 200


def logged(server: RunningServer) -> set[str]:
    found: set[str] = set()
    for path in served_files(server.log_dir):
        found |= set(parquet.read_table(path, columns=["request_id"])["request_id"].to_pylist())
    return found


def ask(server: RunningServer, seconds: float) -> list[str]:
    """Ids of answered requests."""
    answered, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        answered.append(server.client.predict(png(len(answered) % 250))["request_id"])
    return answered


@pytest.mark.slow
def test_killed_supervisor_loses_no_row_of_the_prediction_log(tmp_path: Path, package: Path) -> None:
    with running(tmp_path, package, "1", "--workers", "2") as server:
        workers = [number for number in processes(server) if number != server.process.pid]
        answered = ask(server, 2.0)
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait(120)
        until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers), "no worker is left")
        missing = set(answered) - logged(server)
    assert not missing, f"{len(missing)} of {len(answered)} answered requests are missing from the log"


@pytest.mark.slow
def test_killed_worker_loses_at_most_a_second_and_what_it_lost_is_counted(
    tmp_path: Path, package: Path
) -> None:
    with running(tmp_path, package, "1", "--workers", "1") as server:
        warm_up(server)
        moments: list[tuple[float, str]] = []
        end = time.monotonic() + 2.3
        while time.monotonic() < end:
            name = server.client.predict(png(9))["request_id"]
            moments.append((time.monotonic(), name))
        (worker,) = [number for number in processes(server) if number != server.process.pid]
        killed = time.monotonic()
        os.kill(worker, signal.SIGKILL)
        until(lambda: server.client.close() or server.client.ready(), "a new worker serves")
        kept = logged(server)
        lost = [at for at, name in moments if name not in kept]
        text = server.client.metrics()
        lines = [line for line in text.splitlines() if line.startswith("linnet_log_dropped_total")]
        counted = sum(float(line.split()[-1]) for line in lines)
        assert abs(len(lost) - counted) <= 1, (len(lost), text)  # the one that was being sent
        assert lost and killed - min(lost) < 1.0, "more than the last second is missing"
        assert "were never logged" in server.errors.read_text()
