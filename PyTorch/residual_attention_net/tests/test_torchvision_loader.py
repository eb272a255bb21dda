"""The reference's transforms and DataLoader, as the parity mode."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from common.core.errors import InfrastructureError, UsageError, ZooError
from residual_attention_net.data.draws import Augmentation
from residual_attention_net.tests.data_helpers import numbered_images, numbered_volumes

torch = pytest.importorskip("torch", reason="loaders make torch tensors")
module = pytest.importorskip("residual_attention_net.data.torchvision_loader")
TorchvisionLoader = module.TorchvisionLoader

pytestmark = pytest.mark.pytorch

DEVICE = torch.device("cpu")


@pytest.fixture
def torchvision():
    return pytest.importorskip("torchvision", reason="parity mode needs torchvision")


def _batches(loader, epoch=0, first_batch=0):
    return list(loader.epoch(epoch, first_batch))


def _all_equal(first, second):
    return len(first) == len(second) and all(
        torch.equal(a.inputs, b.inputs) and torch.equal(a.targets, b.targets)
        for a, b in zip(first, second)
    )


@pytest.mark.usefixtures("torchvision")
def test_inputs_are_crops_of_the_zero_padded_images_mirrored_or_not():
    images = numbered_images(20)
    loader = TorchvisionLoader(images, 4, 3, DEVICE)
    order = module.sample_order(3, 0, 20)
    for index, batch in enumerate(_batches(loader)):
        for place, pixels in enumerate(batch.inputs):
            assert _is_a_crop(pixels, images.images[order[4 * index + place]])


def _is_a_crop(pixels, image: np.ndarray) -> bool:
    result = (pixels * 255).round().byte().permute(1, 2, 0).numpy()
    padded = np.pad(image, ((4, 4), (4, 4), (0, 0)), mode="constant")
    windows = [padded[r : r + 6, c : c + 6] for r in range(9) for c in range(9)]
    return any(
        np.array_equal(result, window) or np.array_equal(result, window[:, ::-1])
        for window in windows
    )


@pytest.mark.usefixtures("torchvision")
def test_targets_are_those_of_the_device_loader():
    from residual_attention_net.data.loader import DeviceLoader

    images = numbered_images(20)
    device_side = DeviceLoader(images, 4, Augmentation(), 3, DEVICE)
    for ours, theirs in zip(
        _batches(TorchvisionLoader(images, 4, 3, DEVICE)), device_side.epoch(0)
    ):
        assert torch.equal(ours.targets, theirs.targets)


@pytest.mark.usefixtures("torchvision")
def test_values_depend_on_seed_and_epoch_alone_not_on_workers_ranks_or_a_resume():
    images = numbered_images(20)
    first = _batches(TorchvisionLoader(images, 4, 3, DEVICE))
    assert _all_equal(first, _batches(TorchvisionLoader(images, 4, 3, DEVICE, workers=2)))
    assert not _all_equal(first, _batches(TorchvisionLoader(images, 4, 3, DEVICE), epoch=1))
    assert not _all_equal(first, _batches(TorchvisionLoader(images, 4, 4, DEVICE)))
    loader = TorchvisionLoader(images, 4, 3, DEVICE)
    assert _all_equal(_batches(loader, 1)[2:], _batches(loader, 1, first_batch=2))
    whole = _batches(TorchvisionLoader(images, 8, 3, DEVICE))
    ranks = [_batches(TorchvisionLoader(images, 4, 3, DEVICE, rank, 2)) for rank in (0, 1)]
    for batch, one, other in zip(whole, *ranks):
        assert torch.equal(batch.inputs, torch.cat((one.inputs, other.inputs)))


@pytest.mark.usefixtures("torchvision")
@pytest.mark.parametrize("workers", [0, 1])
def test_the_global_generator_is_left_as_it_was(workers):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    _batches(TorchvisionLoader(numbered_images(20), 4, 3, DEVICE, workers=workers))
    assert torch.equal(before, torch.get_rng_state())


def test_missing_torchvision_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(ZooError, match="torchvision can't be imported.*device loader") as caught:
        TorchvisionLoader(numbered_images(20), 4, 3, DEVICE)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("torchvision")
def test_too_little_shared_memory_says_what_to_do(monkeypatch):
    def full(*_, **__):
        raise RuntimeError("unable to write to file </torch_1_2>: No space left on device (28)")
        yield

    monkeypatch.setattr(module, "DataLoader", full)
    with pytest.raises(InfrastructureError, match="/dev/shm.*--workers 0"):
        _batches(TorchvisionLoader(numbered_images(20), 4, 3, DEVICE, workers=2))


def test_volumes_are_a_usage_error():
    with pytest.raises(UsageError, match="RGB images"):
        TorchvisionLoader(numbered_volumes(20), 4, 3, DEVICE)


def test_a_batch_larger_than_the_data_is_a_usage_error():
    with pytest.raises(UsageError, match="batch size 21"):
        TorchvisionLoader(numbered_images(20), 21, 3, DEVICE)
