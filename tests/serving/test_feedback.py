"""True labels by request id: written once, corrected, refused; images of the log that grow old."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from linnet.errors import RequestRejected
from linnet.serving.feedback import Feedback, parse_feedback
from linnet.serving.log import LogEntry, PredictionLog
from linnet.serving.predictor import Prediction
from linnet.serving.retention import delete_images
from linnet.tasks.answer import answer_of
from linnet.vision.decode import decode
from tests.serving.packages import CLASSES, make_package
from tests.serving.running import RunningServer, png, running
from tests.serving.written_labels import read_feedback

ANSWER = answer_of("classification", ("a", "b"))


def tell(server: RunningServer, document: Any) -> tuple[int, dict[str, Any]]:
    status, _, content = server.client.request("POST", "/feedback", json.dumps(document).encode())
    return status, json.loads(content)


@pytest.mark.slow
def test_label_is_on_disk_once_whoever_sends_it_and_however_often(tmp_path: Path) -> None:
    package = make_package(tmp_path / "package")
    with running(tmp_path / "run", package, "1", "--workers", "1") as server:
        named = server.client.predict(png(9))["request_id"]
        assert tell(server, {"request_id": named, "label": "dark"}) == (200, {"written": 1, "known": 0})
        assert [row["label"] for row in read_feedback(server.log_dir)] == ["dark"]
        assert tell(server, {"request_id": named, "label": "dark"}) == (200, {"written": 0, "known": 1})
        many = {
            "labels": [
                {"request_id": named, "label": "white"},
                {"request_id": "other", "label": "dim", "index": 3},
            ]
        }
        assert tell(server, many) == (200, {"written": 2, "known": 0})
        assert server.stop() == 0
    with running(tmp_path / "run", package, "1", "--workers", "1") as server:  # a new server knows them
        assert tell(server, {"request_id": named, "label": "white"}) == (200, {"written": 0, "known": 1})
    rows = {(row["request_id"], row["index"]): row["label"] for row in read_feedback(server.log_dir)}
    assert rows == {(named, 0): "white", ("other", 3): "dim"}


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ([], "labels"),
        ({"labels": []}, "labels"),
        ({"request_id": "a"}, "label"),
        ({"request_id": "a", "label": "purple"}, "must be one of"),
        ({"request_id": "", "label": "dark"}, "request_id"),
        ({"request_id": "a", "label": "dark", "index": -1}, "index"),
        ({"request_id": "a", "label": "dark", "index": True}, "index"),
        ({"request_id": "a", "label": "dark", "source": 4}, "source"),
        ({"request_id": "a", "label": "dark", "extra": 4}, "object of"),
    ],
)
def test_wrong_label_is_refused(document: Any, problem: str) -> None:
    wrapped = {"labels": document} if document == [] else document
    with pytest.raises(RequestRejected, match=problem) as caught:
        parse_feedback(wrapped, set(CLASSES))
    assert caught.value.status == 400


def test_wrong_label_among_good_ones_is_refused_alone_and_by_its_place(tmp_path: Path) -> None:
    labels: list[dict[str, Any]] = [{"request_id": f"r{i}", "label": "dim"} for i in range(1000)]
    labels[3]["label"] = "purple"
    for place in range(10, 20):
        labels[place]["index"] = -1

    async def told() -> tuple[str, dict[str, int]]:
        feedback = Feedback(tmp_path)
        with pytest.raises(RequestRejected) as caught:
            await feedback.take({"labels": labels}, "tiny", set(CLASSES))
        assert caught.value.status == 400
        del labels[10:20], labels[3]
        again = await feedback.take({"labels": labels}, "tiny", set(CLASSES))
        feedback.close()
        return caught.value.problem, again

    problem, again = asyncio.run(told())
    assert re.match(
        r"labels\[3\]: label: must be one of .*, not 'purple'; labels\[10\]: index: must", problem
    )
    assert "labels[19]" in problem and "the other 989 are taken" in problem
    assert again == {"written": 0, "known": 989}
    assert len(read_feedback(tmp_path)) == 989


def logged(folder: Path, blocks: int = 0, model: str = "m") -> Path:
    """One written file with one image of noise in it."""
    before = set(folder.glob("served-*.parquet"))
    image = np.random.default_rng(0).integers(0, 256, (1, 10, 10, 1)).astype(np.uint8)
    one = np.array([[0.25, 0.75]], np.float32)
    log = PredictionLog(folder, 10, 1.0, blocks)
    log.start()
    log.offer(LogEntry("r", time.time(), model, "1", ANSWER, 1.0, Prediction(image, one, one, one), None))
    log.close()
    (path,) = set(folder.glob("served-*.parquet")) - before
    return path


def test_old_images_are_deleted_and_the_rest_stays(tmp_path: Path) -> None:
    from pyarrow import parquet

    path = logged(tmp_path)
    before = parquet.read_table(path)
    assert delete_images(tmp_path, {}, 30, time.time() + 29 * 86_400) == 0
    assert delete_images(tmp_path, {}, 30, time.time() + 31 * 86_400) == 1
    after = parquet.read_table(path)
    assert after.column("image").null_count == 1 and before.column("image").null_count == 0
    assert after.drop_columns("image").equals(before.drop_columns("image"))
    assert delete_images(tmp_path, {}, 30, time.time() + 31 * 86_400) == 0


def images_in(path: Path) -> int:
    from pyarrow import parquet

    image = parquet.read_table(path).column("image")
    return len(image) - image.null_count


def test_images_of_each_model_are_kept_for_its_own_days(tmp_path: Path) -> None:
    short, long, other = (logged(tmp_path, model=name) for name in ("short", "long", "other"))
    days = {"short": 3.0, "long": 90.0}
    assert delete_images(tmp_path, days, 30, time.time() + 2 * 86_400) == 0
    assert delete_images(tmp_path, days, 30, time.time() + 4 * 86_400) == 1
    assert [images_in(path) for path in (short, long, other)] == [0, 1, 1]
    assert delete_images(tmp_path, days, 30, time.time() + 31 * 86_400) == 1
    assert [images_in(path) for path in (short, long, other)] == [0, 1, 0]


def test_old_images_are_deleted_beside_a_damaged_file_which_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "served-20200101T000000-1-000001.parquet").write_bytes(b"PAR1 torn")
    path = logged(tmp_path)
    assert delete_images(tmp_path, {}, 30, time.time() + 31 * 86_400) == 1 and images_in(path) == 0
    assert "served-20200101T000000-1-000001.parquet" in caplog.text


def test_kept_image_is_coarse_where_asked(tmp_path: Path) -> None:
    from pyarrow import parquet

    row = parquet.read_table(logged(tmp_path, blocks=4)).to_pylist()[0]
    pixels = decode(row["image"]).pixels[:, :, 0]
    assert (
        pixels.shape == (10, 10)
        and len(np.unique(pixels[:4, :4])) == 1
        and len(np.unique(pixels[8:, 8:])) == 1
    )
    assert len(np.unique(pixels)) > 4 and row["sample_id"] is not None
