"""Optimizers in torch: SGD and Adam, in the fastest form each device has."""

from __future__ import annotations

from typing import Any, Iterable, Mapping, Union

import torch

from common.machine.precision import Precision
from common.training.torch.runtime import VERSION, TorchDevice

ADAM_EPSILON = 1e-8


def make_sgd(
    device: TorchDevice,
    precision: Precision,
    parameters: Iterable[Union[Any, Mapping[str, Any]]],
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
) -> Any:
    """SGD in the fastest form the device has; the same formula in every one of them.

    Args:
        parameters: tensors or parameter groups of a model that is already on the device.
    """
    fast = {"fused": True} if VERSION >= (2, 4) and device.kind != "npu" else {}
    kind = _npu_class(precision, "SGD") if device.kind == "npu" else torch.optim.SGD
    return kind(
        list(parameters),
        lr=lr,
        momentum=momentum,
        weight_decay=weight_decay,
        nesterov=nesterov,
        **fast,
    )


def make_adam(
    device: TorchDevice,
    precision: Precision,
    parameters: Iterable[Union[Any, Mapping[str, Any]]],
    lr: float,
) -> Any:
    """Adam as TensorFlow has it, in the fastest form of the device; its epsilon is 1e-8.

    Args:
        parameters: tensors or parameter groups of a model that is already on the device.
    """
    fast = {"fused": True} if VERSION >= (2, 4) and device.kind != "npu" else {}
    kind = _npu_class(precision, "Adam") if device.kind == "npu" else torch.optim.Adam
    own: Any = type(kind.__name__, (_EpsilonOfTensorFlow, kind), {})
    return own(list(parameters), lr=lr, **fast)


class _EpsilonOfTensorFlow:
    """Adds epsilon before the correction of the second moment, as TensorFlow, not after it.

    After it counts the same as before it, once it is over the root of the correction.
    """

    def step(self, *positional: Any, **named: Any) -> Any:
        optimizer: Any = self
        for group in optimizer.param_groups:
            group["taken"] = group.get("taken", 0) + 1
            group["eps"] = ADAM_EPSILON / (1.0 - group["betas"][1] ** group["taken"]) ** 0.5
        return super().step(*positional, **named)  # type: ignore[misc]


def _npu_class(precision: Precision, name: str) -> Any:
    """apex's fused class where apex steps it, torch_npu's where it has one, else torch's own."""
    if precision.apex_opt_level is not None:
        import apex.optimizers

        return getattr(apex.optimizers, "NpuFused" + name)
    own = getattr(torch.optim, name)
    try:
        import torch_npu.optim
    except ImportError:
        return own
    return getattr(torch_npu.optim, "NpuFused" + name, own)


def is_npu_fused(optimizer: Any) -> bool:
    """Whether it is one of Ascend's fused optimizers, of apex or of torch_npu."""
    return type(optimizer).__name__.startswith("NpuFused")
