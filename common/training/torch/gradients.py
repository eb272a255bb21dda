"""From a loss to the optimizer's step in torch: backward pass, loss scale, clipping."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Union

from common.machine.precision import (
    BACKOFF_FACTOR,
    GROWTH_FACTOR,
    GROWTH_INTERVAL,
    SMALLEST_LOSS_SCALE,
    Precision,
)
from common.training.torch.runtime import TORCH_NAMES, TorchDevice, npu_module, torch_version

LookAtGradients = Callable[[List[Any]], None]


def is_npu_fused(optimizer: Any) -> bool:
    """Whether it is one of Ascend's fused optimizers, of apex or of torch_npu."""
    return type(optimizer).__name__.startswith("NpuFused")


class StepHealth:
    """What became of one step: whether overflow made it be skipped, and its loss scale.

    The scale may still be on the device: reading it waits for the device. Keep the object and read
    it at the next log point.
    """

    __slots__ = ("_after", "_before")

    def __init__(self, before: Any = 1.0, after: Any = 1.0) -> None:
        self._before, self._after = before, after

    @property
    def loss_scale(self) -> float:
        """What the loss was multiplied by; 1 where nothing is scaled."""
        return float(self._before)

    @property
    def skipped(self) -> bool:
        """Whether the weights stayed as they were: the scale shrinks in exactly that case."""
        return float(self._after) < float(self._before)


# --- gradient clipping -----------------------------------------------------------------------


class Clip:
    """Clips unscaled gradients by their global norm, in the way the optimizer allows."""

    def __init__(self, optimizer: Any, precision: Precision, max_norm: Optional[float]) -> None:
        self._optimizer, self._precision, self._max_norm = optimizer, precision, max_norm
        self.look: Optional[LookAtGradients] = None

    @property
    def wanted(self) -> bool:
        """Whether anyone needs the gradients unscaled before the optimizer's step."""
        return self._max_norm is not None or self.look is not None

    def __call__(self) -> None:
        apex = self._precision.apex_opt_level is not None
        if self.look is not None:
            self.look(list(self._parameters(apex)))
        if self._max_norm is None:
            return
        if is_npu_fused(self._optimizer):
            name = "clip_optimizer_grad_norm_fused" if apex else "clip_grad_norm_fused_"
            getattr(self._optimizer, name)(self._max_norm, 2.0)  # torch_npu has no default
            return
        import torch

        torch.nn.utils.clip_grad_norm_(list(self._parameters(apex)), self._max_norm)

    def _parameters(self, apex: bool) -> Iterable[Any]:
        if apex:
            from apex import amp

            return amp.master_params(self._optimizer)  # type: ignore[no-any-return]
        return _parameters_of(self._optimizer)


def _parameters_of(optimizer: Any) -> List[Any]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


# --- loss scaling ----------------------------------------------------------------------------


class Scaling:
    """Backward pass and optimizer step without a loss scale; the others derive from it."""

    name = "none"

    def __init__(self, optimizer: Any, clip: Clip) -> None:
        self._optimizer, self._clip = optimizer, clip

    def step(self, loss: Any, look: Optional[LookAtGradients] = None) -> StepHealth:
        """One step; see Stepper.step."""
        self._clip.look = look
        return self._do(loss)

    def _do(self, loss: Any) -> StepHealth:
        loss.backward()
        self._clip()
        self._optimizer.step()
        return StepHealth()

    def optimizer_state(self) -> Dict[str, Any]:
        return dict(self._optimizer.state_dict())

    def load_optimizer_state(self, state: Mapping[str, Any]) -> None:
        self._optimizer.load_state_dict(dict(state))

    def state_dict(self) -> Dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass


class _GradScalerScaling(Scaling):
    """A GradScaler of torch or torch_npu; both check and skip, with a static scale too."""

    name = "grad_scaler"

    def __init__(
        self, optimizer: Any, clip: Clip, scaler: Any, static_scale: Optional[float], one: Any
    ) -> None:
        """`one`: a tensor 1 on the device to read the scale with, None to read it as a number."""
        super().__init__(optimizer, clip)
        self._scaler, self._static_scale, self._one = scaler, static_scale, one

    def _do(self, loss: Any) -> StepHealth:
        self._scaler.scale(loss).backward()
        before = self._scale()
        if self._clip.wanted:
            self._scaler.unscale_(self._optimizer)
            self._clip()
        self._scaler.step(self._optimizer)
        self._scaler.update()
        after = self._scale()
        if self._static_scale is not None:
            # The scaler's own "static" never checks: let it check, then undo its new scale.
            self._scaler.update(self._static_scale)
        return StepHealth(before, after)

    def _scale(self) -> Any:
        """The scale, left on the device where that spares waiting for it."""
        return self._scaler.get_scale() if self._one is None else self._scaler.scale(self._one)

    def state_dict(self) -> Dict[str, Any]:
        return dict(self._scaler.state_dict())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        # A scaler of another kind of device lacks fields of this one, or has others.
        own = self._scaler.state_dict()
        known = {name: value for name, value in state.items() if name in own}
        self._scaler.load_state_dict(dict(own, **known))


class _ApexScaling(Scaling):
    """Ascend apex's loss scale; a static one is never checked for overflow.

    O2 makes its float32 weights on entering the first scale_loss, out of float16 ones, so what a
    checkpoint has of them and of the optimizer takes its place there.
    """

    name = "apex"

    def __init__(self, optimizer: Any, clip: Clip) -> None:
        super().__init__(optimizer, clip)
        self._coming_weights: List[Any] = []
        self._coming_optimizer: Optional[Dict[str, Any]] = None
        self._stepped = False

    def _do(self, loss: Any) -> StepHealth:
        from apex import amp

        before = self._scale()
        with amp.scale_loss(loss, self._optimizer) as scaled:
            self._take_over()
            scaled.backward()
        self._clip()
        self._optimizer.step()
        self._stepped = True
        return StepHealth(before, self._scale())

    def _scale(self) -> float:
        from apex import amp

        return float(amp.state_dict()["loss_scaler0"]["loss_scale"])

    def _take_over(self) -> None:
        for weight, stored in zip(self._float32_weights(), self._coming_weights):
            weight.data.copy_(stored)
        if self._coming_optimizer is not None:
            rates = [group["lr"] for group in self._optimizer.param_groups]
            self._optimizer.load_state_dict(self._coming_optimizer)
            for group, rate in zip(self._optimizer.param_groups, rates):
                group["lr"] = rate  # the coming step's, set already
        self._coming_weights, self._coming_optimizer = [], None

    def _float32_weights(self) -> List[Any]:
        from apex import amp

        return list(amp.master_params(self._optimizer))

    def optimizer_state(self) -> Dict[str, Any]:
        coming = self._coming_optimizer
        return super().optimizer_state() if coming is None else coming

    def load_optimizer_state(self, state: Mapping[str, Any]) -> None:
        self._coming_optimizer = dict(state)

    def state_dict(self) -> Dict[str, Any]:
        from apex import amp

        weights = (
            [weight.detach().cpu().clone() for weight in self._float32_weights()]
            if self._stepped
            else self._coming_weights
        )
        return {"amp": dict(amp.state_dict()), "float32_weights": weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        from apex import amp

        amp.load_state_dict(dict(state["amp"]))
        self._coming_weights = list(state["float32_weights"])


class _HalfWeightScaling(Scaling):
    """A loss scale for float16 gradients, which torch's GradScaler refuses to unscale."""

    name = "half_weights"

    def __init__(self, optimizer: Any, clip: Clip, scale: float, dynamic: bool) -> None:
        super().__init__(optimizer, clip)
        self._scale, self._dynamic, self._good_steps = scale, dynamic, 0

    def _do(self, loss: Any) -> StepHealth:
        (loss * self._scale).backward()
        gradients = [
            parameter.grad
            for parameter in _parameters_of(self._optimizer)
            if parameter.grad is not None
        ]
        before, overflow = self._scale, not _all_finite(gradients)
        if not overflow:
            for gradient in gradients:
                gradient.div_(before)
            self._clip()
            self._optimizer.step()
        self._adapt(overflow)
        return StepHealth(before, before * BACKOFF_FACTOR if overflow else before)

    def _adapt(self, overflow: bool) -> None:
        if not self._dynamic:
            return
        self._good_steps = 0 if overflow else self._good_steps + 1
        if overflow:
            self._scale = max(SMALLEST_LOSS_SCALE, self._scale * BACKOFF_FACTOR)
        elif self._good_steps == GROWTH_INTERVAL:
            self._scale, self._good_steps = self._scale * GROWTH_FACTOR, 0

    def state_dict(self) -> Dict[str, Any]:
        return {"scale": self._scale, "good_steps": self._good_steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._scale, self._good_steps = float(state["scale"]), int(state["good_steps"])


def _all_finite(gradients: List[Any]) -> bool:
    """One wait for the device in all; ranks agree, their gradients being averaged already."""
    import torch

    if not gradients:
        return True
    return bool(torch.stack([torch.isfinite(gradient).all() for gradient in gradients]).all())


def scaling_for(optimizer: Any, device: TorchDevice, precision: Precision, clip: Clip) -> Scaling:
    """The backward pass and step that device and precision need; make it after amp.initialize."""
    if precision.apex_opt_level is not None:
        return _ApexScaling(optimizer, clip)
    if precision.loss_scale_policy == "none":
        return Scaling(optimizer, clip)
    first = float(precision.loss_scale or 1.0)
    if precision.half_weights:
        return _HalfWeightScaling(optimizer, clip, first, precision.loss_scale_policy == "dynamic")
    static = first if precision.loss_scale_policy == "static" else None
    scaler = _grad_scaler(device.kind, first)
    return _GradScalerScaling(optimizer, clip, scaler, static, _one_on(device))


def _one_on(device: TorchDevice) -> Any:
    """A 1 on a GPU; on an NPU None, for scale() there also clears the overflow flag."""
    import torch

    return torch.ones((), device=device.device) if device.kind == "gpu" else None


def _grad_scaler(kind: str, first_scale: float) -> Any:
    import torch

    arguments: Dict[str, Any] = {
        "init_scale": first_scale,
        "growth_factor": GROWTH_FACTOR,
        "backoff_factor": BACKOFF_FACTOR,
        "growth_interval": GROWTH_INTERVAL,
    }
    if kind == "npu":
        # By keyword: torch_npu has `dynamic` before `enabled`; False would check nothing.
        return npu_module().amp.GradScaler(dynamic=True, **arguments)
    if torch_version() >= (2, 3):
        return torch.amp.GradScaler(TORCH_NAMES[kind], **arguments)
    return torch.cuda.amp.GradScaler(**arguments)


def apex_loss_scale(precision: Precision) -> Union[str, float]:
    """As amp.initialize wants it: "dynamic" or a number, never a number's text."""
    dynamic = precision.loss_scale_policy == "dynamic"
    return "dynamic" if dynamic else float(precision.loss_scale or 1.0)
