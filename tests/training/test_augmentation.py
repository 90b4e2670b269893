from __future__ import annotations

import torch

from linnet.training.augmentation import Augmentation, draw
from linnet.training.dataset import generator
from linnet.training.photo_augmentation import augment_photos


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


def test_photos_are_changed_as_their_seeds_say_and_the_global_numbers_are_left_alone() -> None:
    numbers = torch.Generator().manual_seed(2)
    images = torch.randint(0, 256, (6, 40, 56, 3), dtype=torch.uint8, generator=numbers)
    seeds = torch.arange(6)
    torch.manual_seed(9)
    first = augment_photos(images, seeds)
    after = torch.rand(1)
    torch.manual_seed(9)
    assert torch.equal(after, torch.rand(1))
    assert first.shape == images.shape and first.dtype == torch.uint8
    assert all(not torch.equal(one, other) for one, other in zip(first, images, strict=True))
    assert torch.equal(first[4:], augment_photos(images[4:], seeds[4:]))  # whatever batch it rides in
    assert not torch.equal(first, augment_photos(images, seeds + 6))
