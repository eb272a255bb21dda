"""A training step in torch: optimizer, the order of what wraps the network, its arithmetic."""

from __future__ import annotations

import contextlib
import inspect
from typing import Any, ContextManager, Dict, Iterable, Mapping, Optional, Union

from common.core.errors import ZooError
from common.machine.precision import Precision
from common.training.torch.gradients import (
    Clip,
    LookAtGradients,
    Scaling,
    StepHealth,
    apex_loss_scale,
    is_npu_fused,
    scaling_for,
)
from common.training.torch.runtime import TORCH_NAMES, TorchDevice, npu_module, torch_version


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
    arguments: Dict[str, Any] = {
        "lr": lr,
        "momentum": momentum,
        "weight_decay": weight_decay,
        "nesterov": nesterov,
    }
    if device.kind == "npu":
        return _npu_sgd_class(precision)(list(parameters), **arguments)
    import torch

    if torch_version() >= (2, 4):
        arguments["fused"] = True
    return torch.optim.SGD(list(parameters), **arguments)


def _npu_sgd_class(precision: Precision) -> Any:
    """apex's fused class where apex steps it, torch_npu's where it has one, else torch's own."""
    import torch

    if precision.apex_opt_level is not None:
        import apex.optimizers

        return apex.optimizers.NpuFusedSGD
    try:
        import torch_npu.optim
    except ImportError:
        return torch.optim.SGD
    return getattr(torch_npu.optim, "NpuFusedSGD", torch.optim.SGD)


class Stepper:
    """Does a training step in the order its device and precision need; made by make_stepper.

    Attributes:
        model: what to call in the forward pass (wrapped for many ranks).
        module: the network itself, for checkpoints and evaluation.
        optimizer: the optimizer that steps.
    """

    def __init__(
        self,
        model: Any,
        module: Any,
        optimizer: Any,
        device: TorchDevice,
        precision: Precision,
        scaling: Scaling,
    ) -> None:
        self.model, self.module, self.optimizer = model, module, optimizer
        self._device, self._precision, self._scaling = device, precision, scaling

    def forward_context(self) -> ContextManager[Any]:
        """The context of the forward pass and the loss: autocast, or nothing."""
        return forward_context(self._device, self._precision)

    def zero_grad(self) -> None:
        """Drops the gradients; Ascend's fused and apex's optimizers keep their buffers."""
        if not (is_npu_fused(self.optimizer) or self._precision.apex_opt_level is not None):
            self.optimizer.zero_grad(set_to_none=True)
        elif self._has_gradients():
            # Before there are any, a fused optimizer would leave every weight out for good.
            self.optimizer.zero_grad()

    def _has_gradients(self) -> bool:
        return any(weight.grad is not None for weight in self.module.parameters())

    def step(self, loss: Any, look: Optional[LookAtGradients] = None) -> StepHealth:
        """Backward pass, clipping where asked for, optimizer step; loss is a scalar tensor.

        Args:
            look: called with the optimizer's parameters, in the order they were given to it, when
                their gradients are averaged over ranks and unscaled, but not clipped. Where a loss
                scale overflowed it may not be called.
        """
        return self._scaling.step(loss, look)

    def optimizer_state(self) -> Dict[str, Any]:
        """The optimizer's state, for checkpoints."""
        return self._scaling.optimizer_state()

    def load_optimizer_state(self, state: Mapping[str, Any]) -> None:
        """Restores the optimizer; call before the first step."""
        self._scaling.load_optimizer_state(state)

    def state_dict(self) -> Dict[str, Any]:
        """The state of the loss scale (with apex also the float32 weights), for checkpoints."""
        return {"scaling": self._scaling.name, "state": self._scaling.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores the loss scale; ZooError where the checkpoint scaled in another way."""
        if state["scaling"] != self._scaling.name:
            raise ZooError(
                "the checkpoint's loss scale is of kind {!r}, this run's {!r}; resume "
                "with the --precision_mode and --loss_scale it was trained with".format(
                    state["scaling"], self._scaling.name
                )
            )
        self._scaling.load_state_dict(state["state"])


def make_stepper(
    model: Any,
    optimizer: Any,
    device: TorchDevice,
    precision: Precision,
    world_size: int = 1,
    max_gradient_norm: Optional[float] = None,
) -> Stepper:
    """Prepares model and optimizer for training, in the order every device needs.

    The order is: open_device, init_process_group, place_model, make_sgd, make_stepper (which wraps
    for apex and then for many ranks). Load checkpoints of model and optimizer before the first
    step: Ascend's fused optimizers flatten the tensors there.

    Args:
        model: on the device, in float32 (or cast by place_model).
        optimizer: over that model's parameters.
        world_size: ranks in the job; more than one needs the process group.
        max_gradient_norm: clips the gradients' global norm after unscaling; None leaves them.
    """
    if world_size > 1:
        _check_process_group()
    if precision.apex_opt_level is not None:
        from apex import amp

        model, optimizer = amp.initialize(
            model,
            optimizer,
            opt_level=precision.apex_opt_level,
            loss_scale=apex_loss_scale(precision),
        )
    clip = Clip(optimizer, precision, max_gradient_norm)
    scaling = scaling_for(optimizer, device, precision, clip)
    wrapped = _distributed(model, device) if world_size > 1 else model
    return Stepper(wrapped, model, optimizer, device, precision, scaling)


def prepare_evaluation(model: Any, precision: Precision) -> Any:
    """Readies a network that is only evaluated, on its device with its weights; returns it.

    Where apex does the arithmetic, apex casts; a stepper's network is ready already.
    """
    if precision.apex_opt_level is None:
        return model
    from apex import amp

    return amp.initialize(model, opt_level=precision.apex_opt_level)


def forward_context(device: TorchDevice, precision: Precision) -> ContextManager[Any]:
    """The context of a forward pass in this precision, for training and evaluation alike."""
    import torch

    if precision.autocast_dtype is None:
        return contextlib.nullcontext()
    dtype = getattr(torch, precision.autocast_dtype)
    if device.kind == "npu":
        autocast = npu_module().amp.autocast
        context = autocast(dtype=dtype) if torch_version() >= (1, 11) else autocast()
    elif torch_version() >= (1, 10):
        context = torch.autocast(TORCH_NAMES[device.kind], dtype=dtype)
    else:
        context = torch.cuda.amp.autocast()
    return context  # type: ignore[no-any-return]


def _check_process_group() -> None:
    import torch.distributed as distributed

    # Later, apex and torch_npu's scaler would not share the overflow flag between ranks.
    if not distributed.is_initialized():
        raise ValueError("init_process_group comes before make_stepper where there are many ranks")


def _distributed(model: Any, device: TorchDevice) -> Any:
    from torch.nn.parallel import DistributedDataParallel

    # Broadcasting buffers in every forward pass costs time; evaluation averages them instead.
    accepted = inspect.signature(DistributedDataParallel).parameters
    name = "forward_sync_buffers" if "forward_sync_buffers" in accepted else "broadcast_buffers"
    arguments: Dict[str, Any] = {name: False}
    if device.kind != "cpu":
        arguments["device_ids"] = [device.index]
    if device.kind != "npu" and torch_version() >= (2,):
        arguments["gradient_as_bucket_view"] = True
    return DistributedDataParallel(model, **arguments)
