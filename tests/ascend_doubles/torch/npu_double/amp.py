"""torch_npu.npu.amp: autocast, and the GradScaler."""

import torch
from torch import distributed

from npu_double import hccl, report
from npu_double.arithmetic import Overflow
from npu_double.tensors import autocast_to, is_npu_tensor

OVERFLOW_MESSAGE = "Gradient overflow. Skipping step"


class Autocast:
    """torch 1.8.1's: float16, and no argument for the type."""

    def __init__(self, enabled=True):
        self._dtype, self._contexts = torch.float16 if enabled else None, []

    def __enter__(self):
        report.note_once("autocast", dtype=str(self._dtype))
        self._contexts.append(autocast_to(self._dtype))
        self._contexts[-1].__enter__()
        return self

    def __exit__(self, *exception):
        return self._contexts.pop().__exit__(*exception)


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
        self._interval, self._dynamic, self._enabled = growth_interval, dynamic, enabled
        self._scale, self._good_steps, self._shares_flag = None, 0, False
        self._unscaled, self._overflow = {}, False
        report.note("GradScaler", init_scale=init_scale, dynamic=dynamic, enabled=enabled)

    def scale(self, outputs):
        """The outputs times the scale; the first call decides whether ranks share the flag."""
        if not is_npu_tensor(outputs):
            raise AssertionError("the GradScaler of torch_npu takes NPU tensors only")
        if self._scale is None:
            self._start(outputs)
        if self._dynamic:
            Overflow.flag = False
        return outputs * self._scale.to(outputs.dtype)

    def _start(self, outputs):
        self._scale = torch.full((), float(self._init_scale), device=outputs.device)
        self._shares_flag = distributed.is_available() and distributed.is_initialized()
        report.note("scaler starts", shares_flag=self._shares_flag)

    def unscale_(self, optimizer):
        """Divides the optimizer's gradients by the scale, and checks them where it is dynamic."""
        self._require_scale("unscale_")
        if id(optimizer) in self._unscaled:
            raise RuntimeError(
                "unscale_() has already been called on this optimizer since the last update()."
            )
        gradients = self._gradients(optimizer)
        for gradient in gradients:
            if gradient.dtype == torch.float16:
                raise ValueError("Attempting to unscale FP16 gradients.")
        self._overflow = self._dynamic and self._check(gradients)
        inverse = 1.0 / float(self._scale)
        for gradient in gradients:
            gradient.mul_(inverse)
        self._unscaled[id(optimizer)] = True

    def _gradients(self, optimizer):
        if getattr(optimizer, "fused_on_npu", False):
            optimizer.combine()
        return [
            weight.grad
            for group in optimizer.param_groups
            for weight in group["params"]
            if weight.grad is not None
        ]

    def _check(self, gradients):
        flag = Overflow.flag or not all(
            bool(torch.isfinite(gradient).all()) for gradient in gradients
        )
        return hccl.any_rank(flag) if self._shares_flag else flag

    def step(self, optimizer, *arguments, **named):
        """The optimizer's step, unless there was an overflow."""
        self._require_scale("step")
        if id(optimizer) not in self._unscaled:
            self.unscale_(optimizer)
        if self._overflow:
            print(
                f"{OVERFLOW_MESSAGE}, reducing loss scale to {float(self._scale) * self._backoff}",
                flush=True,
            )
            report.note("step skipped", scale=float(self._scale))
            return None
        return optimizer.step(*arguments, **named)

    def update(self, new_scale=None):
        """The next step's scale: the given one, else by what was found."""
        self._require_scale("update")
        if new_scale is not None:
            self._scale.fill_(float(new_scale))
        elif self._dynamic:
            if not self._unscaled:
                raise AssertionError("No inf checks were recorded prior to update.")
            self._adapt()
        self._unscaled, self._overflow = {}, False

    def _adapt(self):
        if self._overflow:
            self._scale.mul_(self._backoff)
            self._good_steps = 0
            return
        self._good_steps += 1
        if self._good_steps == self._interval:
            self._scale.mul_(self._growth)
            self._good_steps = 0

    def _require_scale(self, function):
        if self._scale is None:
            raise AssertionError(f"Attempted {function} but _scale is None.")

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
