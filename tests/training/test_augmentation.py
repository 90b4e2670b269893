from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from linnet.config import TrainConfig
from linnet.errors import ConfigError
from linnet.tasks.classification.model import MODEL
from linnet.training.augmentation import Augmentation, draw
from linnet.training.dataset import generator
from linnet.training.mixing import Mixing
from linnet.training.photo_augmentation import PhotoAugmentation


def images(count: int = 64) -> torch.Tensor:
    return torch.randint(1, 256, (count, 10, 9, 3), dtype=torch.uint8, generator=generator(1))


def drawn(epoch: int = 0, count: int = 64, **what: int) -> torch.Tensor:
    spec = Augmentation(10, 9, bool(what.get("flip", 0)), what.get("shift", 0), what.get("cutout", 0))
    return draw(spec, torch.arange(count), epoch, generator(0, epoch, 1)).apply(images(count))


def test_nothing_asked_for_changes_nothing() -> None:
    assert torch.equal(drawn(), images())


def test_flip_mirrors_about_half_and_the_others_in_the_next_epoch() -> None:
    before, first, second = images(), drawn(flip=1), drawn(flip=1, epoch=1)
    mirrored = torch.tensor([torch.equal(a, b.flip(1)) for a, b in zip(first, before, strict=True)])
    again = torch.tensor([torch.equal(a, b.flip(1)) for a, b in zip(second, before, strict=True)])
    assert 16 < mirrored.sum() < 48
    assert torch.equal(mirrored, ~again)
    assert torch.equal(first[~mirrored], before[~mirrored])


def test_shift_moves_each_image_by_its_own_offset_and_fills_with_black() -> None:
    before, after = images(), drawn(shift=2)
    offsets = set()
    for old, new in zip(before, after, strict=True):
        padded = torch.nn.functional.pad(old, (0, 0, 2, 2, 2, 2))
        fits = [(y, x) for y in range(5) for x in range(5) if torch.equal(padded[y : y + 10, x : x + 9], new)]
        assert len(fits) == 1
        offsets.add(fits[0])
    assert len(offsets) > 15


def test_cutout_blanks_one_square_an_image() -> None:
    after = drawn(cutout=3)
    blank = (after == 0).all(dim=3)
    sizes = blank.sum(dim=(1, 2))
    assert sizes.max() == 9 and sizes.min() >= 4
    assert torch.equal(after[~blank], images()[~blank])


def test_draws_are_a_function_of_the_key() -> None:
    assert torch.equal(drawn(shift=2, cutout=3, epoch=4), drawn(shift=2, cutout=3, epoch=4))
    assert not torch.equal(drawn(shift=2, epoch=4), drawn(shift=2, epoch=5))


def photo(**values: object) -> PhotoAugmentation:
    """Photo augmentation that does only what `values` say."""
    still = {"augment": "photo", "min_crop": 1.0, "policy": "none"}
    made = PhotoAugmentation.of(TrainConfig.parse({**still, **values}))
    assert made is not None
    return made


def pictures(count: int = 6, side: int = 40) -> torch.Tensor:
    """Smooth color gradients in one corner's direction, no two alike."""
    y, x = torch.meshgrid(torch.linspace(0, 1, side), torch.linspace(0, 1, side + 16), indexing="ij")
    planes = torch.stack((y, x, 0.5 * (x + y)), dim=-1)
    return torch.stack([(planes * (150 + 10 * n) + 5 * n).to(torch.uint8) for n in range(count)])


CHANGES = [
    {"min_crop": 0.35}, {"policy": "trivial"}, {"policy": "rand"}, {"rotation": 30.0}, {"color": 0.4},
    {"blur": 1.0}, {"jpeg": 1.0},
]  # fmt: skip


@pytest.mark.parametrize("values", CHANGES, ids=lambda values: next(iter(values.items())))
def test_photos_are_changed_as_their_seeds_say_and_the_global_numbers_are_left_alone(
    values: dict[str, object],
) -> None:
    images, seeds, change = pictures(), torch.arange(6), photo(**values)
    torch.manual_seed(9)
    first = change.apply(images, seeds)
    after = torch.rand(1)
    torch.manual_seed(9)
    assert torch.equal(after, torch.rand(1))
    assert first.shape == images.shape and first.dtype == torch.uint8
    assert not torch.equal(first, images)
    assert torch.equal(first[4:], change.apply(images[4:], seeds[4:]))  # whatever batch it rides in
    if values != {"jpeg": 1.0}:  # few qualities look different on so smooth an image
        assert not torch.equal(first, change.apply(images, seeds + 6))


def test_photos_with_nothing_to_do_stay_as_they_are() -> None:
    assert torch.equal(photo().apply(pictures(), torch.arange(6)), pictures())
    assert PhotoAugmentation.of(TrainConfig()) is None


def test_blur_smooths_and_its_share_is_that_of_the_setting() -> None:
    noise = torch.randint(0, 256, (64, 24, 24, 3), dtype=torch.uint8)
    blurred = photo(blur=1.0).apply(noise, torch.arange(64))
    assert blurred.float().std() < 0.8 * noise.float().std()
    half = photo(blur=0.5).apply(noise, torch.arange(64))
    changed = (half != noise).flatten(1).any(dim=1).sum()
    assert 16 < changed < 48


def test_rotation_keeps_the_middle_and_brings_gray_in_from_outside() -> None:
    white = torch.full((8, 41, 41, 3), 255, dtype=torch.uint8)
    turned = photo(rotation=45.0).apply(white, torch.arange(8))
    assert (turned[:, 15:26, 15:26] == 255).all()
    assert (turned[:, 0, 0] == 127).any()


def test_gray_images_take_every_change() -> None:
    gray = pictures()[..., :1]
    everything = photo(min_crop=0.5, policy="rand", rotation=9.0, color=0.3, blur=1.0, jpeg=1.0)
    assert everything.apply(gray, torch.arange(6)).shape == gray.shape


def test_photo_settings_without_photo_augmentation_are_refused() -> None:
    with pytest.raises(ConfigError, match="rotation changes photos only"):
        TrainConfig.parse({"rotation": 5.0})


@pytest.mark.parametrize("values", [(0.4, 0.0), (0.0, 1.0), (0.4, 1.0)])
def test_mixed_labels_sum_to_one_and_say_what_the_pixels_show(values: tuple[float, float]) -> None:
    mixing = Mixing(*values, classes=6, task=MODEL)
    images = (torch.arange(6, dtype=torch.uint8) * 40)[:, None, None, None].expand(6, 20, 30, 3)
    features = torch.eye(6)
    for seed in range(8):
        mixed, blended, labels = mixing.apply(images, features, torch.arange(6), seed)
        assert mixed.dtype == torch.uint8 and mixed.shape == images.shape
        assert torch.allclose(labels.sum(dim=1), torch.ones(6))
        assert torch.allclose(blended, labels)  # statistics ride along
        shown = (labels * torch.arange(6) * 40).sum(dim=1)
        assert torch.allclose(mixed.float().mean(dim=(1, 2, 3)), shown, atol=0.51)
        assert torch.equal(labels, mixing.apply(images, features, torch.arange(6), seed)[2])
    assert len({float(mixing.apply(images, features, torch.arange(6), s)[2][0, 0]) for s in range(8)}) > 4


def test_loss_of_mixed_labels_is_that_of_plain_ones_where_nothing_is_mixed() -> None:
    logits, labels = torch.randn(9, 4), torch.arange(9) % 4
    weights = torch.tensor([0.5, 1.0, 2.0, 0.5])
    soft = functional.one_hot(labels, 4).float()
    for gamma in (0.0, 2.0):
        for weighed in (None, weights):
            plain = MODEL.losses(logits, labels, weighed, 0.1, gamma)
            assert torch.allclose(plain, MODEL.losses(logits, soft, weighed, 0.1, gamma))
