"""Double of Ascend's apex.amp: the order of calls, and a static scale that is never checked."""

import contextlib

import torch
from npu_double import hccl, report
from npu_double.amp import overflowed
from npu_double.tensors import mark
from torch import distributed, nn

_BACKOFF, _GROWTH, _WINDOW, _LARGEST = 0.5, 2.0, 2000, 2.0**24


class LossScaler:
    """The loss's scale; the overflow flag is looked at only where it is dynamic.

    The flag is shared between ranks only if the process group was there when it was made.
    """

    current = None  # of this process, once amp.initialize was called

    def __init__(self, loss_scale):
        self.dynamic = loss_scale == "dynamic"
        self.scale = 2.0**16 if self.dynamic else loss_scale
        self.unskipped, self.overflow = 0, False
        self.shares_flag = distributed.is_available() and distributed.is_initialized()
        report.note("apex scaler", dynamic=self.dynamic, shares_flag=self.shares_flag)

    def check(self, gradients):
        """After the backward pass: looks for an overflow."""
        if self.dynamic:
            flag = overflowed(gradients)
            self.overflow = hccl.any_rank(flag) if self.shares_flag else flag

    def update(self):
        """Adapts the scale; returns whether the step is to be skipped."""
        if self.overflow:
            self.scale, self.unskipped = self.scale * _BACKOFF, 0
        elif self.dynamic:
            self.unskipped += 1
            if self.unskipped == _WINDOW:
                self.scale, self.unskipped = min(_LARGEST, self.scale * _GROWTH), 0
        return self.overflow


def initialize(models, optimizers=None, enabled=True, opt_level="O1", loss_scale=None, **more):
    """Prepares models and optimizers; once, on the NPU, in float32, before DDP."""
    if LossScaler.current is not None:
        raise RuntimeError("amp.initialize was called a second time")
    if isinstance(loss_scale, str) and loss_scale != "dynamic":
        raise ValueError(f"loss_scale must be a number or the string 'dynamic', not {loss_scale!r}")
    report.note("amp.initialize", opt_level=opt_level, loss_scale=loss_scale)
    LossScaler.current = LossScaler(loss_scale or "dynamic")
    if optimizers is not None:  # none where a network is only evaluated
        optimizers._amp_masters = None if opt_level == "O2" else []
    if opt_level == "O2":  # O1's patched functions cast nothing here
        _cast(models)
        if optimizers is not None:
            _step_masters(optimizers)
    return models if optimizers is None else (models, optimizers)


def _cast(model):
    """O2: float16 but for batch norms; float32 in and out."""
    for module in model.modules():
        if not isinstance(module, nn.modules.batchnorm._BatchNorm):
            for weight in module._parameters.values():
                if weight is not None:
                    weight.data = weight.data.half()
    forward = model.forward
    model.forward = lambda images: forward(images.half()).float()
    model._register_state_dict_hook(_in_float32)


def _in_float32(module, state, prefix, local_metadata):
    for name, value in state.items():
        if value.dtype == torch.float16:
            state[name] = value.float()
    return state


def _make_masters(optimizer):
    """float32 copies of float16 parameters, at the first scale_loss."""
    if optimizer._amp_masters is not None:
        return
    optimizer._amp_masters = masters = []
    for group in optimizer.param_groups:
        for number, weight in enumerate(group["params"]):
            if weight.dtype == torch.float16:
                master = mark(nn.Parameter(weight.detach().float()))
                group["params"][number] = master
                masters.append((weight, master))
                if weight in optimizer.state:
                    optimizer.state[master] = optimizer.state.pop(weight)
    if masters:  # casts the state to the masters' type
        torch.optim.Optimizer.load_state_dict(optimizer, optimizer.state_dict())


def _step_masters(optimizer):
    step, zero_grad = optimizer.step, optimizer.zero_grad

    def step_and_copy(closure=None):
        _make_masters(optimizer)
        step()
        with torch.no_grad():
            for weight, master in optimizer._amp_masters:
                weight.copy_(master)

    def zero_all(set_to_none=False):
        _make_masters(optimizer)
        zero_grad(set_to_none)
        for weight, _ in optimizer._amp_masters:
            if weight.grad is not None:
                weight.grad.zero_()

    optimizer.step, optimizer.zero_grad = step_and_copy, zero_all


@contextlib.contextmanager
def scale_loss(loss, optimizers):
    """Yields the loss times its scale; the next step() is left out where gradients overflowed."""
    scaler = LossScaler.current
    _make_masters(optimizers)
    yield loss.float() * scaler.scale
    _unscale(optimizers, scaler)
    if scaler.update():
        _skip_once(optimizers, scaler.scale)


@torch.no_grad()
def _unscale(optimizer, scaler):
    masters = {id(master) for _, master in optimizer._amp_masters}
    plain = [
        weight.grad
        for weight in master_params(optimizer)
        if id(weight) not in masters and weight.grad is not None
    ]
    halves = [(weight, one) for weight, one in optimizer._amp_masters if weight.grad is not None]
    scaler.check(plain + [weight.grad for weight, _ in halves])
    for gradient in plain:
        gradient.mul_(1.0 / scaler.scale)
    for weight, master in halves:
        unscaled = weight.grad.float() * (1.0 / scaler.scale)
        if master.grad is None:
            master.grad = unscaled
        else:
            master.grad.copy_(unscaled)


def _skip_once(optimizer, scale):
    step = optimizer.step

    def skip(closure=None):
        report.note("step skipped", scale=scale)
        optimizer.step = step

    optimizer.step = skip


def master_params(optimizer):
    """The parameters that the optimizer steps."""
    for group in optimizer.param_groups:
        yield from group["params"]


def state_dict():
    """The scale, as NVIDIA's apex gives it."""
    scaler = LossScaler.current
    return {"loss_scaler0": {"loss_scale": scaler.scale, "unskipped": scaler.unskipped}}


def load_state_dict(state):
    """Restores it."""
    scaler, part = LossScaler.current, state["loss_scaler0"]
    scaler.scale, scaler.unskipped = part["loss_scale"], part["unskipped"]
