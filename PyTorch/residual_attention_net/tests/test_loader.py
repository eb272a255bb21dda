"""Training and evaluation batches, our own and the reference's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from common.core.errors import InfrastructureError
from residual_attention_net.data import torchvision_loader
from residual_attention_net.data.draws import Augmentation
from residual_attention_net.data.loader import DeviceLoader, EvaluationLoader
from residual_attention_net.data.torchvision_loader import TorchvisionLoader
from residual_attention_net.tests.data_helpers import (
    identified_images,
    numbered_images,
    numbered_volumes,
)

pytestmark = pytest.mark.pytorch

DEVICE = torch.device("cpu")
PLAIN = Augmentation()
EVERYTHING = Augmentation(crop_padding=2, flip=True, cutout_size=3, mixup_alpha=1.0)
CHECKSUM = "e2c83a04580d5cc8ca8aa0552a380f17955a5e808222540fba25d54990a2c320"
MAKERS = pytest.mark.parametrize("make", [numbered_images, numbered_volumes])


def _training(images, batch_size, augmentation=PLAIN, seed=3, rank=0, world_size=1, **options):
    return DeviceLoader(images, batch_size, seed, DEVICE, rank, world_size, augmentation, **options)


def _numbers(batch):
    """The images' numbers out of `identified_images`."""
    return (batch.inputs[:, 0, 0, 0] * 255).round().long().tolist()


def _equal(first, second):
    return (
        torch.equal(first.inputs, second.inputs)
        and torch.equal(first.targets, second.targets)
        and torch.equal(first.mixup_weight, second.mixup_weight)
    )


def test_an_epoch_shows_every_sample_once_with_its_label_in_an_order_of_its_own():
    loader = _training(identified_images(50), 8)
    batches = list(loader.epoch(0))
    seen = [number for batch in batches for number in _numbers(batch)]
    assert loader.batches_per_epoch == 6 and len(seen) == len(set(seen)) == 48
    assert all(
        batch.targets.tolist() == [number % 3 for number in _numbers(batch)] for batch in batches
    )
    assert _numbers(batches[0]) != _numbers(next(loader.epoch(1)))
    batch = batches[0]
    assert batch.inputs.shape == (8, 1, 2, 2) and batch.inputs.dtype == torch.float32
    assert (batch.mixed_targets, batch.valid, float(batch.mixup_weight)) == (None, 8, 1)


@MAKERS
@pytest.mark.parametrize("augmentation, ranks", [(PLAIN, 4), (EVERYTHING, 2)])
def test_ranks_see_together_what_one_rank_of_their_whole_batch_sees(make, augmentation, ranks):
    images = make(50)
    whole = list(_training(images, 8, augmentation).epoch(2))
    loaders = [
        _training(images, 8 // ranks, augmentation, rank=rank, world_size=ranks).epoch(2)
        for rank in range(ranks)
    ]
    shares = list(zip(*loaders))
    assert len(whole) == len(shares) == 6
    for batch, parts in zip(whole, shares):
        for name in ("inputs", "targets", "mixed_targets"):
            if getattr(batch, name) is not None:
                joined = torch.cat([getattr(part, name) for part in parts])
                assert torch.equal(getattr(batch, name), joined)
        assert all(part.mixup_weight == batch.mixup_weight for part in parts)


def test_mixed_inputs_and_targets_are_those_of_the_partners_until_mixup_ends():
    images = identified_images(48)
    loader = _training(images, 8, Augmentation(mixup_alpha=1.0, mixup_epochs=1))
    plain = list(_training(images, 8).epoch(0))
    draws = loader.draws(0)
    for index, batch in enumerate(loader.epoch(0)):
        local = torch.from_numpy(draws.partners[8 * index : 8 * index + 8] - 8 * index)
        weight = float(draws.mix_weights[index])
        own = plain[index].inputs
        assert torch.allclose(batch.inputs, weight * own + (1 - weight) * own[local])
        assert torch.equal(batch.mixed_targets, plain[index].targets[local])
        assert torch.equal(batch.targets, plain[index].targets)
    batch = next(loader.epoch(1))
    assert batch.mixed_targets is None
    assert torch.equal(batch.inputs, next(_training(images, 8).epoch(1)).inputs)


def test_resuming_inside_an_epoch_gives_the_same_rest_and_no_global_generator_moves():
    images = numbered_images(50)
    torch.manual_seed(1)
    np.random.seed(1)
    whole = list(_training(images, 8, EVERYTHING).epoch(4))
    drawn = torch.rand(1), np.random.rand()
    torch.manual_seed(1)
    np.random.seed(1)
    assert drawn == (torch.rand(1), np.random.rand())
    rest = list(_training(images, 8, EVERYTHING).epoch(4, first_batch=3))
    assert len(rest) == len(whole) - 3 and all(map(_equal, whole[3:], rest))


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"seed": 4},
        {"augmentation": Augmentation(crop_padding=2, flip=True, cutout_size=3)},
        {"augmentation": Augmentation(crop_padding=2, flip=True, mixup_alpha=1.0)},
        {"augmentation": Augmentation(crop_padding=2, cutout_size=3, mixup_alpha=1.0)},
        {"augmentation": Augmentation(flip=True, cutout_size=3, mixup_alpha=1.0)},
        {"batch_size": 4},
    ],
)
def test_the_first_batches_are_the_same_on_every_stack_and_change_with(changed):
    arguments = {"batch_size": 8, "augmentation": EVERYTHING, **changed}
    loader = _training(numbered_images(50), **arguments)
    assert (loader.checksum() == CHECKSUM) == (not changed)


@pytest.mark.parametrize("pad_last", [False, True])
@pytest.mark.parametrize("count, world_size", [(50, 1), (50, 3), (50, 7), (2, 4)])
def test_evaluation_counts_every_image_once_over_all_ranks(count, world_size, pad_last):
    seen, images = [], identified_images(count)
    for rank in range(world_size):
        loader = EvaluationLoader(images, 4, DEVICE, rank, world_size, pad_last=pad_last)
        for batch in loader.batches():
            assert len(batch.targets) == (4 if pad_last else batch.valid)
            seen += _numbers(batch)[: batch.valid]
            assert batch.targets.tolist() == [number % 3 for number in _numbers(batch)]
    assert seen == list(range(count))


# --- torchvision's


@pytest.fixture
def torchvision():
    return pytest.importorskip("torchvision", reason="parity mode needs torchvision")


def _batches(images, batch_size=4, seed=3, *place, workers=0, epoch=0, first_batch=0):
    loader = TorchvisionLoader(images, batch_size, seed, DEVICE, *place, workers=workers)
    return list(loader.epoch(epoch, first_batch))


def _all_equal(first, second):
    return len(first) == len(second) and all(map(_equal, first, second))


@pytest.mark.usefixtures("torchvision")
def test_torchvisions_values_depend_on_seed_and_epoch_alone_not_on_workers_ranks_or_a_resume():
    """And the samples are those of our own loader."""
    images = numbered_images(20)
    for batch, own in zip(_batches(images), _training(images, 4).epoch(0)):
        assert torch.equal(batch.targets, own.targets)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = _batches(images)
    assert _all_equal(first, _batches(images, workers=2))
    assert torch.equal(before, torch.get_rng_state())
    assert not _all_equal(first, _batches(images, epoch=1))
    assert not _all_equal(first, _batches(images, seed=4))
    assert _all_equal(_batches(images, epoch=1)[2:], _batches(images, epoch=1, first_batch=2))
    ranks = [_batches(images, 4, 3, rank, 2) for rank in (0, 1)]
    for batch, one, other in zip(_batches(images, 8), *ranks):
        assert torch.equal(batch.inputs, torch.cat((one.inputs, other.inputs)))


@pytest.mark.usefixtures("torchvision")
def test_too_little_shared_memory_says_what_to_do(monkeypatch):
    def full(*_, **__):
        raise RuntimeError("unable to write to file </torch_1_2>: No space left on device (28)")
        yield

    monkeypatch.setattr(torchvision_loader, "DataLoader", full)
    with pytest.raises(InfrastructureError, match="/dev/shm.*--workers 0"):
        _batches(numbered_images(20), workers=2)
