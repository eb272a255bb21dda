"""The baseline computes what the reference computes, so a ratio to it means something."""

from __future__ import annotations

import pytest
import torch

from benchmarks.protoattend_torch import baseline
from protoattend.network.architecture import Architecture
from protoattend_torch.network import Attended, PrototypeNetwork, losses_of
from tests.fixtures.proto_reference import in_float32

pytestmark = [pytest.mark.pytorch, pytest.mark.long]


def test_its_loss_is_that_of_the_network_whose_weights_it_is_given():
    stored = in_float32()
    ours, plain = PrototypeNetwork(Architecture()).train(), baseline.Network().train()
    with torch.no_grad():
        for one, other in zip(plain.parameters(), ours.parameters()):
            assert one.shape == other.shape
            one.copy_(other)
    images, candidates = (
        torch.from_numpy(stored[name]) for name in ("batch_images", "cand_images")
    )
    labels = torch.from_numpy(stored["batch_labels"]).long()
    wanted = losses_of(Attended(*ours(images, candidates)), labels, 1e-6).total(1e-4)
    batch = {"images": images, "candidates": candidates, "labels": labels}
    batch.update({name: batch[name].permute(0, 3, 1, 2) for name in ("images", "candidates")})
    assert baseline.loss_of(plain, batch).item() == pytest.approx(wanted.item(), rel=1e-4)
