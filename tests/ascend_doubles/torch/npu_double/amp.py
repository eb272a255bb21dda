"""torch_npu.npu.amp: autocast, and the GradScaler."""

import contextlib

import torch
from torch import distributed

from npu_double import hccl, report

_LARGEST_HALF = 65504.0


@contextlib.contextmanager
def autocast(enabled=True):
    """torch 1.8.1's: no argument for the type. It is told, and casts nothing here."""
    report.note_once("autocast", enabled=enabled)
    yield


def overflowed(gradients):
    """Whether a scaled gradient is none of float16's numbers."""
    return not all(bool((one.abs() <= _LARGEST_HALF).all()) for one in gradients)


class GradScaler:
    """torch_npu's: `dynamic` sits before `enabled`, and False checks nothing."""

    def __init__(
        self,
        init_scale=2.0**16,
        growth_factor=2.0,
        backoff_factor=0.5,
        growth_interval=2000,
        dynamic=True,
        enabled=True,
    ):
        self._init_scale, self._growth, self._backoff = init_scale, growth_factor, backoff_factor
        self._interval, self._dynamic = growth_interval, dynamic
        self._scale, self._good_steps, self._shares_flag = None, 0, False
        self._unscaled, self._overflow = set(), False
        report.note("GradScaler", init_scale=init_scale, dynamic=dynamic, enabled=enabled)

    def scale(self, outputs):
        """The outputs times the scale; the first call decides whether ranks share the flag."""
        if self._scale is None:
            self._scale = torch.full((), float(self._init_scale), device=outputs.device)
            self._shares_flag = distributed.is_available() and distributed.is_initialized()
        return outputs * self._scale.to(outputs.dtype)

    def unscale_(self, optimizer):
        """Divides the optimizer's gradients by the scale, and checks them where it is dynamic."""
        if getattr(optimizer, "fused_on_npu", False):
            optimizer.combine()
        weights = (weight for group in optimizer.param_groups for weight in group["params"])
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        if self._dynamic:
            flag = overflowed(gradients)
            self._overflow = hccl.any_rank(flag) if self._shares_flag else flag
        inverse = 1.0 / float(self._scale)
        for gradient in gradients:
            gradient.mul_(inverse)
        self._unscaled.add(id(optimizer))

    def step(self, optimizer, *arguments, **named):
        """The optimizer's step, unless there was an overflow."""
        if id(optimizer) not in self._unscaled:
            self.unscale_(optimizer)
        if self._overflow:
            report.note("step skipped", scale=float(self._scale))
            return None
        return optimizer.step(*arguments, **named)

    def update(self, new_scale=None):
        """The next step's scale: the given one, else by what was found."""
        if new_scale is not None:
            self._scale.fill_(float(new_scale))
        elif self._overflow:
            self._scale.mul_(self._backoff)
            self._good_steps = 0
        elif self._dynamic:
            self._good_steps += 1
            if self._good_steps == self._interval:
                self._scale.mul_(self._growth)
                self._good_steps = 0
        self._unscaled, self._overflow = set(), False

    def get_scale(self):
        """The scale as a number; waits for the device."""
        return float(self._init_scale if self._scale is None else self._scale)

    def state_dict(self):
        """Numbers only."""
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth,
            "backoff_factor": self._backoff,
            "growth_interval": self._interval,
            "_growth_tracker": self._good_steps,
            "dynamic": self._dynamic,
        }

    def load_state_dict(self, state):
        """Restores what state_dict gave."""
        self._init_scale, self._growth = state["scale"], state["growth_factor"]
        self._backoff, self._interval = state["backoff_factor"], state["growth_interval"]
        self._good_steps, self._dynamic = state["_growth_tracker"], state["dynamic"]
        if self._scale is not None:
            self._scale.fill_(self._init_scale)
