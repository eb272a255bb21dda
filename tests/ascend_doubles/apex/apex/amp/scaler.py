"""The loss scale: the overflow flag is looked at only where it is dynamic."""

import torch
from npu_double import hccl, report
from npu_double.arithmetic import Overflow
from torch import distributed


class LossScaler:
    """One loss's scale.

    The flag is shared between ranks only if the process group was there when it was made.
    """

    def __init__(self, loss_scale, init_scale, growth, backoff, window, smallest, largest):
        self.dynamic = loss_scale == "dynamic"
        self.scale = min(largest, init_scale) if self.dynamic else float(loss_scale)
        self._growth, self._backoff, self._window = growth, backoff, window
        self._smallest, self._largest, self.unskipped = smallest, largest, 0
        self.shares_flag = distributed.is_available() and distributed.is_initialized()
        self.overflow = False
        report.note(
            "apex scaler", dynamic=self.dynamic, scale=self.scale, shares_flag=self.shares_flag
        )

    def begin(self):
        """Before the backward pass: forgets an earlier overflow."""
        self.overflow = False
        if self.dynamic:
            Overflow.flag = False

    def check(self, gradients):
        """After the backward pass: looks for an overflow, but never with a static scale."""
        if not self.dynamic:
            return
        flag = Overflow.flag or not all(
            bool(torch.isfinite(gradient).all()) for gradient in gradients
        )
        self.overflow = hccl.any_rank(flag) if self.shares_flag else flag

    def update(self):
        """Adapts the scale; returns whether the step is to be skipped."""
        if self.overflow:
            smaller = self.scale * self._backoff
            self.scale = max(self._smallest, smaller) if self._smallest else smaller
            self.unskipped = 0
            return True
        if self.dynamic:
            self.unskipped += 1
            if self.unskipped == self._window:
                self.scale = min(self._largest, self.scale * self._growth)
                self.unskipped = 0
        return False


class AmpState:
    """What amp.initialize leaves for the other functions of this process; it works once."""

    properties = None
    scalers = []
