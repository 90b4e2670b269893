"""The detector: what it says becomes boxes, what it learns by, and its mirror image."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from linnet.tasks.answer import answer_of
from linnet.tasks.detection.boxes import Box, boxes_of, text_of
from linnet.tasks.detection.model import MODEL
from linnet.tasks.detection.network import boxes_at, decoded, unmirrored
from linnet.tasks.detection.target import MOST, TARGET
from linnet.vision.networks import plan_architecture

CLASSES = ("cat", "dog")


def perfect(targets: torch.Tensor, size: int) -> torch.Tensor:
    """Logits [N, 1 + 2 + 4, size, size] of a network that knows the boxes."""
    logits = torch.full((len(targets), 7, size, size), -9.0)
    for n, row in enumerate(targets):
        for number, left, top, right, bottom in row[row[:, 0] >= 0].tolist():
            x, y = int((left + right) / 2 * size), int((top + bottom) / 2 * size)
            logits[n, 0, y, x] = logits[n, 1 + int(number), y, x] = 9.0
            middle = (x + 0.5) / size, (y + 0.5) / size
            away = (middle[0] - left, middle[1] - top, right - middle[0], bottom - middle[1])
            logits[n, 3:, y, x] = torch.tensor(away).mul(size).log()
    return logits


def test_what_a_knowing_network_says_is_decoded_to_its_boxes_and_costs_least() -> None:
    labels = [text_of([Box("cat", 0.1, 0.1, 0.4, 0.5), Box("dog", 0.5, 0.45, 0.95, 0.9)]), text_of([])]
    targets = torch.from_numpy(TARGET.encode(labels, CLASSES, 64, 64))
    logits = perfect(targets, 8)
    output = MODEL.output(logits, 1.0).numpy()
    answer = answer_of("detection", CLASSES)
    assert output.shape == (2, MOST, 6) and answer.problem(output) == ""
    for said, true in zip(answer.labels(output), labels, strict=True):
        np.testing.assert_allclose(
            [box[1:] for box in boxes_of(said)], [box[1:] for box in boxes_of(true)], atol=1e-5
        )
        assert [box.name for box in boxes_of(said)] == [box.name for box in boxes_of(true)]
    assert MODEL.right(MODEL.named(logits), targets).tolist() == pytest.approx([1.0, 1.0], abs=1e-4)
    known = MODEL.losses(logits, targets, None, 0.0, 0.0)
    assert known.shape == (2,) and torch.isfinite(known).all()
    for wrong in (0, slice(1, 3), slice(3, 7)):
        worse = logits.clone()
        worse[:, wrong] = -worse[:, wrong]
        lost = MODEL.losses(worse, targets, None, 0.0, 0.0) > known
        assert lost[0] and (lost[1] or wrong != 0), "without objects there is no class and no side to learn"


def test_an_object_has_one_box_of_one_class_and_its_neighbor_keeps_its_own() -> None:
    logits = torch.full((1, 7, 8, 8), -9.0)
    for x, center, cat, dog, away in (
        (2, 3.0, 4.0, 1.0, 4.5), (4, 2.0, 0.0, 5.0, 4.5), (6, 1.0, 0.0, 5.0, 1.0),
    ):  # fmt: skip
        logits[0, :, 2, x] = torch.tensor([center, cat, dog, *([np.log(away)] * 4)])
    found = decoded(logits, 1.0)[0]
    there = found[found[:, 4] > 0]
    sure = 1 / (1 + np.exp(-np.array([3.0, 1.0]))) / (1 + np.exp([-3.0, -5.0]))
    np.testing.assert_allclose(there[:, 4], sure, rtol=1e-5)
    assert there[:, 5].tolist() == [0.0, 1.0], "the second overlaps the first by more than 0.6, as a dog"


def test_smoothing_focus_and_weights_change_the_loss_of_classes_alone() -> None:
    labels = [text_of([Box("cat", 0.1, 0.1, 0.4, 0.5), Box("dog", 0.5, 0.45, 0.95, 0.9)]), text_of([])]
    targets = torch.from_numpy(TARGET.encode(labels, CLASSES, 64, 64))
    logits = torch.randn(2, 7, 8, 8, generator=torch.Generator().manual_seed(0))
    plain = MODEL.losses(logits, targets, None, 0.0, 0.0)
    for weights, smoothing, gamma in (
        (torch.tensor([1.0, 3.0]), 0.0, 0.0), (None, 0.2, 0.0), (None, 0.0, 2.0),
    ):  # fmt: skip
        other = MODEL.losses(logits, targets, weights, smoothing, gamma)
        assert other[0] != plain[0] and other[1] == plain[1]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("wanted", [True, False])
def test_mirror_image_gets_the_mirrored_boxes_exactly_where_both_are_averaged(wanted: bool) -> None:
    plan = plan_architecture(
        height=32, width=32, channels=1, features=3, classes=2, base=8, flip_average=wanted
    )
    torch.manual_seed(0)
    network = MODEL.network(plan)
    with torch.no_grad():
        for weight in network.parameters():
            weight += 0.2 * torch.randn_like(weight)
        network.eval()
        images = torch.randint(0, 255, (3, 32, 32, 1), dtype=torch.uint8)
        features = torch.rand(3, 3)
        said, embedding = network(images, features)
        other, same = network(images.flip(2), features)
    assert torch.allclose(unmirrored(other), said, atol=1e-4) == wanted
    assert torch.allclose(same, embedding, atol=1e-5) == wanted
    boxes, mirrored = boxes_at(said[:, -4:]), boxes_at(unmirrored(said)[:, -4:]).flip(3)
    np.testing.assert_allclose(mirrored[:, 0], 1 - boxes[:, 2], atol=1e-5)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """So small a network takes minutes with several threads where others use the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_detector_learns_four_pictures_and_its_output_is_bounded() -> None:
    side = 32
    plan = plan_architecture(
        height=side, width=side, channels=1, features=3, classes=2, base=8, flip_average=False
    )
    torch.manual_seed(0)
    network = MODEL.network(plan).train()
    images = torch.zeros((4, side, side, 1), dtype=torch.uint8)
    images[0, 4:16, 6:20], images[1, 14:28, 10:26], images[2, 2:12, 2:12], images[3] = 255, 120, 255, 10
    labels = [
        text_of([Box("cat", 6 / 32, 4 / 32, 20 / 32, 16 / 32)]),
        text_of([Box("dog", 10 / 32, 14 / 32, 26 / 32, 28 / 32)]),
        text_of([Box("cat", 2 / 32, 2 / 32, 12 / 32, 12 / 32)]),
        text_of([]),
    ]
    targets = torch.from_numpy(TARGET.encode(labels, CLASSES, side, side))
    network.fit_constants(images, torch.rand(4, 3))
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    for _ in range(60):
        logits, embedding = network(images, torch.zeros(4, 3))
        loss = MODEL.losses(logits, targets, None, 0.0, 0.0).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert embedding.shape[0] == 4
    scores = MODEL.right(MODEL.named(logits), targets)
    assert scores.mean() > 0.75, scores
    output = MODEL.output(logits, 2.0).detach().numpy()
    assert answer_of("detection", CLASSES).problem(output) == ""
    results = MODEL.results(MODEL.named(logits), targets, 2)
    assert results["validation_accuracy"] == pytest.approx(float(scores.mean()), abs=1e-6)
