"""Training and evaluation batches."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from common.core.errors import UsageError
from residual_attention_net.data.draws import Augmentation
from residual_attention_net.tests.data_helpers import (
    identified_images,
    numbered_images,
    numbered_volumes,
)

torch = pytest.importorskip("torch", reason="loaders make torch tensors")
loader_module = pytest.importorskip("residual_attention_net.data.loader")
DeviceLoader = loader_module.DeviceLoader
EvaluationLoader = loader_module.EvaluationLoader

pytestmark = pytest.mark.pytorch

DEVICE = torch.device("cpu")
PLAIN = Augmentation()
EVERYTHING = Augmentation(crop_padding=2, flip=True, cutout_size=3, mixup_alpha=1.0)
CHECKSUM = "e2c83a04580d5cc8ca8aa0552a380f17955a5e808222540fba25d54990a2c320"


def _training(images, batch_size, augmentation=PLAIN, seed=3, rank=0, world_size=1, **options):
    return DeviceLoader(images, batch_size, augmentation, seed, DEVICE, rank, world_size, **options)


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


def test_inputs_are_float32_of_channels_first_in_the_unit_range():
    batch = next(_training(numbered_images(20), 4).epoch(0))
    assert batch.inputs.shape == (4, 3, 6, 6) and batch.inputs.dtype == torch.float32
    assert 0 < float(batch.inputs.min()) <= float(batch.inputs.max()) <= 1
    assert (batch.mixed_targets, batch.valid, float(batch.mixup_weight)) == (None, 4, 1)
    volumes = next(_training(numbered_volumes(20), 4, EVERYTHING).epoch(0))
    assert volumes.inputs.shape == (4, 1, 6, 6, 6)


@pytest.mark.parametrize("augmentation", [PLAIN, EVERYTHING])
def test_channels_last_changes_the_layout_and_no_value(augmentation):
    images = numbered_images(20)
    plain = next(_training(images, 4, augmentation).epoch(0)).inputs
    last = next(_training(images, 4, augmentation, channels_last=True).epoch(0)).inputs
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(plain, last)


def test_ranks_partition_the_global_batch():
    images = identified_images(50)
    whole = _training(images, 8).epoch(0)
    ranks = [_training(images, 2, rank=rank, world_size=4).epoch(0) for rank in range(4)]
    for batch, *parts in zip(whole, *ranks):
        assert _numbers(batch) == [number for part in parts for number in _numbers(part)]


@pytest.mark.parametrize("make", [numbered_images, numbered_volumes])
def test_two_ranks_see_what_one_rank_of_twice_the_batch_sees(make):
    images = make(50)
    whole = list(_training(images, 8, EVERYTHING).epoch(2))
    parts = [list(_training(images, 4, EVERYTHING, rank=r, world_size=2).epoch(2)) for r in (0, 1)]
    assert len(whole) == len(parts[0]) == 6
    for batch, first, second in zip(whole, *parts):
        assert torch.equal(batch.inputs, torch.cat((first.inputs, second.inputs)))
        assert torch.equal(batch.targets, torch.cat((first.targets, second.targets)))
        assert torch.equal(
            batch.mixed_targets, torch.cat((first.mixed_targets, second.mixed_targets))
        )
        assert batch.mixup_weight == first.mixup_weight == second.mixup_weight


def test_mixed_inputs_and_targets_are_those_of_the_partners():
    images = identified_images(48)
    loader = _training(images, 8, Augmentation(mixup_alpha=1.0))
    plain = list(_training(images, 8).epoch(0))
    draws = loader.draws(0)
    for index, batch in enumerate(loader.epoch(0)):
        local = torch.from_numpy(draws.partners[8 * index : 8 * index + 8] - 8 * index)
        weight = float(draws.mix_weights[index])
        own = plain[index].inputs
        assert torch.allclose(batch.inputs, weight * own + (1 - weight) * own[local])
        assert torch.equal(batch.mixed_targets, plain[index].targets[local])
        assert torch.equal(batch.targets, plain[index].targets)


def test_mixup_that_has_ended_leaves_plain_batches():
    images = numbered_images(20)
    ended = _training(images, 4, Augmentation(mixup_alpha=1.0, mixup_epochs=1))
    assert next(ended.epoch(0)).mixed_targets is not None
    batch = next(ended.epoch(1))
    assert batch.mixed_targets is None
    assert torch.equal(batch.inputs, next(_training(images, 4).epoch(1)).inputs)


def test_resuming_inside_an_epoch_gives_the_same_rest():
    images = numbered_images(50)
    whole = list(_training(images, 8, EVERYTHING).epoch(4))
    rest = list(_training(images, 8, EVERYTHING).epoch(4, first_batch=3))
    assert len(rest) == len(whole) - 3
    assert all(_equal(a, b) for a, b in zip(whole[3:], rest))


def test_loading_neither_uses_nor_moves_the_global_generators():
    images = numbered_images(20)
    torch.manual_seed(1)
    np.random.seed(1)
    first = list(_training(images, 4, EVERYTHING).epoch(0))
    drawn = torch.rand(1), np.random.rand()
    torch.manual_seed(1)
    np.random.seed(1)
    assert drawn == (torch.rand(1), np.random.rand())
    assert all(map(_equal, first, _training(images, 4, EVERYTHING).epoch(0)))


def test_the_first_batches_are_the_same_on_every_stack():
    loader = _training(numbered_images(50), 8, EVERYTHING)
    assert loader_module.first_batches_sha256(loader) == CHECKSUM


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 4},
        {"augmentation": Augmentation(crop_padding=2, flip=True, cutout_size=3)},
        {"augmentation": Augmentation(crop_padding=2, flip=True, mixup_alpha=1.0)},
        {"augmentation": Augmentation(crop_padding=2, cutout_size=3, mixup_alpha=1.0)},
        {"augmentation": Augmentation(flip=True, cutout_size=3, mixup_alpha=1.0)},
        {"batch_size": 4},
    ],
)
def test_the_checksum_of_the_first_batches_changes_with(changed):
    arguments = {"batch_size": 8, "augmentation": EVERYTHING, **changed}
    loader = _training(numbered_images(50), **arguments)
    assert loader_module.first_batches_sha256(loader) != CHECKSUM


def test_another_process_makes_the_same_batches():
    script = (
        "import torch;"
        "from residual_attention_net.tests.data_helpers import numbered_images;"
        "from residual_attention_net.data.loader import DeviceLoader, first_batches_sha256;"
        "from residual_attention_net.data.draws import Augmentation;"
        "e = Augmentation(crop_padding=2, flip=True, cutout_size=3, mixup_alpha=1.0);"
        "l = DeviceLoader(numbered_images(50), 8, e, 3, torch.device('cpu'));"
        "print(first_batches_sha256(l))"
    )
    # Another hash seed, so that an order taken from a set or a dictionary would show.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "5"}
    output = subprocess.check_output([sys.executable, "-c", script], env=environment)
    assert output.decode().strip() == CHECKSUM


@pytest.mark.parametrize("batch_size, world_size", [(51, 1), (26, 2), (0, 1), (-1, 1)])
def test_a_batch_that_the_data_cannot_fill_is_a_usage_error(batch_size, world_size):
    with pytest.raises(UsageError, match="batch size") as caught:
        _training(numbered_images(50), batch_size, world_size=world_size)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("pad_last", [False, True])
@pytest.mark.parametrize("world_size", [1, 3, 7])
def test_evaluation_counts_every_image_once_over_all_ranks(world_size, pad_last):
    seen = []
    for rank in range(world_size):
        loader = EvaluationLoader(
            identified_images(50), 4, DEVICE, rank, world_size, pad_last=pad_last
        )
        batches = list(loader.batches())
        assert len(batches) == loader.batches_per_epoch
        assert sum(batch.valid for batch in batches) == loader.count
        for batch in batches:
            seen += _numbers(batch)[: batch.valid]
            assert batch.targets.tolist() == [number % 3 for number in _numbers(batch)]
    assert seen == list(range(50))


@pytest.mark.parametrize("pad_last, lengths", [(True, [4, 4, 4]), (False, [4, 4, 2])])
def test_only_a_padded_evaluation_has_one_shape(pad_last, lengths):
    loader = EvaluationLoader(identified_images(10), 4, DEVICE, pad_last=pad_last)
    batches = list(loader.batches())
    assert [len(batch.inputs) for batch in batches] == lengths
    assert [batch.valid for batch in batches] == [4, 4, 2]


def test_a_rank_without_images_evaluates_nothing():
    loaders = [EvaluationLoader(identified_images(2), 4, DEVICE, r, 4) for r in range(4)]
    assert sorted(len(list(loader.batches())) for loader in loaders) == [0, 0, 1, 1]


def test_an_evaluation_batch_size_below_one_is_a_usage_error():
    with pytest.raises(UsageError, match="batch size 0"):
        EvaluationLoader(identified_images(2), 0, DEVICE)
