"""A training step in torch: the order of what wraps the network, its arithmetic, its loss scale.

From a loss to the optimizer's step: backward pass, loss scale, clipping.
"""

from __future__ import annotations

import contextlib
import inspect
from typing import (
    Any,
    Callable,
    ContextManager,
    Dict,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Type,
    Union,
)

import torch

from common.core.errors import ZooError
from common.machine.precision import (
    BACKOFF_FACTOR,
    GROWTH_FACTOR,
    GROWTH_INTERVAL,
    Precision,
)
from common.training.torch.optimizers import is_npu_fused
from common.training.torch.runtime import TORCH_NAMES, VERSION, TorchDevice, npu_module

LookAtGradients = Callable[[List[Any]], None]


class StepHealth(NamedTuple):
    """The loss scale of one step, and the one after it; both None where nothing is scaled.

    A scale may still be on the device: reading it waits for the device. Keep the object and read
    it at the next log point.
    """

    scale: Any = None
    following: Any = None

    @property
    def loss_scale(self) -> Optional[float]:
        """What the loss was multiplied by; None where nothing is scaled."""
        return None if self.scale is None else float(self.scale)

    @property
    def skipped(self) -> bool:
        """Whether the weights stayed as they were: the scale shrinks in exactly that case."""
        return self.scale is not None and float(self.following) < float(self.scale)


class Stepper:
    """Does a training step without a loss scale; those with one derive from it. See make_stepper.

    Attributes:
        model: what to call in the forward pass (wrapped for many ranks).
        module: the network itself, for checkpoints and evaluation.
        optimizer: the optimizer that steps.
    """

    scaling = "none"  # as checkpoints call it

    def __init__(
        self,
        model: Any,
        module: Any,
        optimizer: Any,
        device: TorchDevice,
        precision: Precision,
        max_gradient_norm: Optional[float],
        max_gradient_value: Optional[float],
    ) -> None:
        self.model, self.module, self.optimizer = model, module, optimizer
        self._device, self._precision = device, precision
        self._max_norm, self._max_value = max_gradient_norm, max_gradient_value

    def forward_context(self) -> ContextManager[Any]:
        """The context of the forward pass and the loss: autocast, or nothing."""
        return forward_context(self._device, self._precision)

    def zero_grad(self) -> None:
        """Drops the gradients; Ascend's fused and apex's optimizers keep their buffers."""
        if not (is_npu_fused(self.optimizer) or self._precision.apex_opt_level is not None):
            self.optimizer.zero_grad(set_to_none=True)
        elif any(weight.grad is not None for weight in self.module.parameters()):
            # Before there are any, a fused optimizer would leave every weight out for good.
            self.optimizer.zero_grad()

    def step(self, loss: Any, look: Optional[LookAtGradients] = None) -> StepHealth:
        """Backward pass, clipping where asked for, optimizer step; loss is a scalar tensor.

        Args:
            look: called with the optimizer's parameters, in the order they were given to it, when
                their gradients are averaged over ranks and unscaled, but not clipped. Where a loss
                scale overflowed it may not be called.
        """
        loss.backward()
        self._look_and_clip(look)
        self.optimizer.step()
        return StepHealth()

    def _parameters(self) -> List[Any]:
        return [weight for group in self.optimizer.param_groups for weight in group["params"]]

    @property
    def _clips(self) -> bool:
        return self._max_norm is not None or self._max_value is not None

    def _look_and_clip(self, look: Optional[LookAtGradients]) -> None:
        """Shows the unscaled gradients to who asked, and clips them by their global norm."""
        if look is not None:
            look(self._parameters())
        if self._max_norm is not None and is_npu_fused(self.optimizer):
            apex = self._precision.apex_opt_level is not None
            name = "clip_optimizer_grad_norm_fused" if apex else "clip_grad_norm_fused_"
            getattr(self.optimizer, name)(self._max_norm, 2.0)  # torch_npu has no default
        elif self._max_norm is not None:
            torch.nn.utils.clip_grad_norm_(self._parameters(), self._max_norm)
        if self._max_value is not None:
            torch.nn.utils.clip_grad_value_(self._parameters(), self._max_value)

    # --- checkpoints ---

    def optimizer_state(self) -> Dict[str, Any]:
        """The optimizer's state."""
        return dict(self.optimizer.state_dict())

    def load_optimizer_state(self, state: Mapping[str, Any]) -> None:
        """Restores the optimizer; call before the first step."""
        self.optimizer.load_state_dict(dict(state))

    def state_dict(self) -> Dict[str, Any]:
        """The state of the loss scale (with apex also the float32 weights)."""
        return {"scaling": self.scaling, "state": dict(self._scale_state())}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores the loss scale; ZooError where the checkpoint scaled in another way."""
        scaling = state["scaling"]
        if scaling == "half_weights":  # before 2026-12, with a scale of its own kind
            scaling = "grad_scaler"
        if scaling != self.scaling:
            raise ZooError(
                f"the checkpoint's loss scale is of kind {scaling!r}, this run's "
                f"{self.scaling!r}; resume with the --precision_mode and --loss_scale it was "
                "trained with"
            )
        self._load_scale(state["state"])

    def _scale_state(self) -> Mapping[str, Any]:
        return {}

    def _load_scale(self, state: Mapping[str, Any]) -> None:
        """Nothing to be loaded where nothing is scaled."""


class _ScalerStepper(Stepper):
    """A GradScaler of torch or torch_npu; both check and skip, with a static scale too."""

    scaling = "grad_scaler"

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        first = float(self._precision.loss_scale or 1.0)
        self._static_scale = first if self._precision.loss_scale_policy == "static" else None
        self._scaler = _grad_scaler(self._device.kind, first)
        if self._precision.half_weights:  # whose gradients torch refuses to unscale, unless told
            unscale = self._scaler._unscale_grads_
            self._scaler._unscale_grads_ = lambda *words: unscale(*words[:3], True)
        # A 1 on a GPU, to read the scale with; on an NPU scale() would clear the overflow flag too.
        on_gpu = self._device.kind == "gpu"
        self._one = torch.ones((), device=self._device.device) if on_gpu else None

    def step(self, loss: Any, look: Optional[LookAtGradients] = None) -> StepHealth:
        self._scaler.scale(loss).backward()
        before = self._scale()
        if self._clips or look is not None:
            self._scaler.unscale_(self.optimizer)
            self._look_and_clip(look)
        self._scaler.step(self.optimizer)
        self._scaler.update()
        after = self._scale()
        if self._static_scale is not None:
            # The scaler's own "static" never checks: let it check, then undo its new scale.
            self._scaler.update(self._static_scale)
        return StepHealth(before, after)

    def _scale(self) -> Any:
        """The scale, left on the device where that spares waiting for it."""
        return self._scaler.get_scale() if self._one is None else self._scaler.scale(self._one)

    def _scale_state(self) -> Mapping[str, Any]:
        return self._scaler.state_dict()  # type: ignore[no-any-return]

    def _load_scale(self, state: Mapping[str, Any]) -> None:
        # A scaler of another kind of device lacks fields of this one, or has others.
        own = self._scaler.state_dict()
        known = {name: value for name, value in state.items() if name in own}
        self._scaler.load_state_dict(dict(own, **known))


def _apex() -> Any:
    from apex import amp

    return amp


class _ApexStepper(Stepper):
    """Ascend apex's loss scale; a static one is never checked for overflow.

    O2 makes its float32 weights on entering the first scale_loss, out of float16 ones, so what a
    checkpoint has of them and of the optimizer takes its place there.
    """

    scaling = "apex"

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self._coming_weights: List[Any] = []
        self._coming_optimizer: Optional[Dict[str, Any]] = None
        self._stepped = False

    def step(self, loss: Any, look: Optional[LookAtGradients] = None) -> StepHealth:
        before = self._scale()
        with _apex().scale_loss(loss, self.optimizer) as scaled:
            self._take_over()
            scaled.backward()
        self._look_and_clip(look)
        self.optimizer.step()
        self._stepped = True
        return StepHealth(before, self._scale())

    def _scale(self) -> float:
        return float(_apex().state_dict()["loss_scaler0"]["loss_scale"])

    def _take_over(self) -> None:
        for weight, stored in zip(self._parameters(), self._coming_weights):
            weight.data.copy_(stored)
        if self._coming_optimizer is not None:
            rates = [group["lr"] for group in self.optimizer.param_groups]
            self.optimizer.load_state_dict(self._coming_optimizer)
            for group, rate in zip(self.optimizer.param_groups, rates):
                group["lr"] = rate  # the coming step's, set already
        self._coming_weights, self._coming_optimizer = [], None

    def _parameters(self) -> List[Any]:
        return list(_apex().master_params(self.optimizer))

    def optimizer_state(self) -> Dict[str, Any]:
        coming = self._coming_optimizer
        return super().optimizer_state() if coming is None else coming

    def load_optimizer_state(self, state: Mapping[str, Any]) -> None:
        self._coming_optimizer = dict(state)

    def _scale_state(self) -> Mapping[str, Any]:
        weights = self._coming_weights
        if self._stepped:
            weights = [weight.detach().cpu().clone() for weight in self._parameters()]
        return {"amp": dict(_apex().state_dict()), "float32_weights": weights}

    def _load_scale(self, state: Mapping[str, Any]) -> None:
        _apex().load_state_dict(dict(state["amp"]))
        self._coming_weights = list(state["float32_weights"])


def _grad_scaler(kind: str, first_scale: float) -> Any:
    # By keyword: torch_npu has `dynamic` before `enabled`; False would check nothing.
    arguments: Dict[str, Any] = {
        "init_scale": first_scale,
        "growth_factor": GROWTH_FACTOR,
        "backoff_factor": BACKOFF_FACTOR,
        "growth_interval": GROWTH_INTERVAL,
    }
    if kind == "npu":
        return npu_module().amp.GradScaler(dynamic=True, **arguments)
    if VERSION >= (2, 3):
        return torch.amp.GradScaler(TORCH_NAMES[kind], **arguments)
    return torch.cuda.amp.GradScaler(**arguments)


def apex_loss_scale(precision: Precision) -> Union[str, float]:
    """As amp.initialize wants it: "dynamic" or a number, never a number's text."""
    dynamic = precision.loss_scale_policy == "dynamic"
    return "dynamic" if dynamic else float(precision.loss_scale or 1.0)


def make_stepper(
    model: Any,
    optimizer: Any,
    device: TorchDevice,
    precision: Precision,
    world_size: int = 1,
    max_gradient_norm: Optional[float] = None,
    max_gradient_value: Optional[float] = None,
) -> Stepper:
    """Prepares model and optimizer for training, in the order every device needs.

    The order is: open_device, init_process_group, place_model, make_sgd or make_adam,
    make_stepper (which wraps for apex and then for many ranks). Load checkpoints of model and
    optimizer before the first step: Ascend's fused optimizers flatten the tensors there.

    Args:
        model: on the device, in float32 (or cast by place_model).
        optimizer: over that model's parameters.
        world_size: ranks in the job; more than one needs the process group, which has to be there
            before, for apex and torch_npu's scaler share the overflow flag by it.
        max_gradient_norm: clips the gradients' global norm after unscaling; None leaves them.
        max_gradient_value: clips the magnitude of each element, after the norm.
    """
    kind: Type[Stepper] = Stepper
    if precision.apex_opt_level is not None:
        model, optimizer = _apex().initialize(
            model,
            optimizer,
            opt_level=precision.apex_opt_level,
            loss_scale=apex_loss_scale(precision),
        )
        kind = _ApexStepper
    elif precision.loss_scale_policy != "none":
        kind = _ScalerStepper
    wrapped = _distributed(model, device) if world_size > 1 else model
    limits = max_gradient_norm, max_gradient_value
    return kind(wrapped, model, optimizer, device, precision, *limits)


def prepare_evaluation(model: Any, precision: Precision) -> Any:
    """Readies a network that is only evaluated, on its device with its weights; returns it.

    Where apex does the arithmetic, apex casts; a stepper's network is ready already.
    """
    if precision.apex_opt_level is None:
        return model
    return _apex().initialize(model, opt_level=precision.apex_opt_level)


def forward_context(device: TorchDevice, precision: Precision) -> ContextManager[Any]:
    """The context of a forward pass in this precision, for training and evaluation alike."""
    if precision.autocast_dtype is None:
        return contextlib.nullcontext()
    dtype = getattr(torch, precision.autocast_dtype)
    if device.kind != "npu" and VERSION >= (1, 10):
        context: ContextManager[Any] = torch.autocast(TORCH_NAMES[device.kind], dtype=dtype)
        return context
    autocast: Any = npu_module().amp.autocast if device.kind == "npu" else torch.cuda.amp.autocast
    context = autocast(dtype=dtype) if VERSION >= (1, 11) else autocast()
    return context


def without_autocast(kind: str) -> ContextManager[Any]:
    """A context inside forward_context in which nothing is cast; `kind` as in torch.device."""
    if kind in ("cpu", "cuda") and VERSION >= (1, 10):
        context: ContextManager[Any] = torch.autocast(kind, enabled=False)
        return context
    if kind == "cpu":  # which had no autocast then
        return contextlib.nullcontext()
    amp: Any = torch.cuda.amp if kind == "cuda" else npu_module().amp
    return amp.autocast(enabled=False)  # type: ignore[no-any-return]


def _distributed(model: Any, device: TorchDevice) -> Any:
    kind = torch.nn.parallel.DistributedDataParallel
    # Broadcasting buffers in every forward pass costs time; evaluation averages them instead.
    accepted = inspect.signature(kind).parameters
    name = "forward_sync_buffers" if "forward_sync_buffers" in accepted else "broadcast_buffers"
    arguments: Dict[str, Any] = {name: False}
    if device.kind != "cpu":
        arguments["device_ids"] = [device.index]
    if device.kind != "npu" and VERSION >= (2,):
        arguments["gradient_as_bucket_view"] = True
    return kind(model, **arguments)
