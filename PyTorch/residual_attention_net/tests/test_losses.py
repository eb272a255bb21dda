"""The training loss."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from residual_attention_net.losses import mixed_cross_entropy  # noqa: E402

pytestmark = pytest.mark.pytorch


@pytest.mark.parametrize("mixed", [False, True])
def test_smoothing_spreads_a_share_of_the_target_over_all_classes(mixed: bool) -> None:
    logits = torch.randn(6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    targets, others = torch.tensor([0, 1, 2, 3, 4, 0]), torch.tensor([1, 1, 0, 2, 2, 4])
    batch = SimpleNamespace(
        targets=targets, mixed_targets=others if mixed else None, mixup_weight=torch.tensor(0.7)
    )
    label = torch.eye(5, dtype=torch.float64)[targets]
    if mixed:
        label = 0.7 * label + 0.3 * torch.eye(5, dtype=torch.float64)[others]
    target = 0.9 * label + 0.1 / 5
    expected = -(target * torch.log_softmax(logits, 1)).sum(1).mean()
    assert torch.allclose(mixed_cross_entropy(logits, batch, 0.1), expected, atol=1e-7)
