"""NpuFusedSGD, of torch_npu.optim and of apex: one buffer for all parameters."""

import torch
from torch.optim import Optimizer

from npu_double import report
from npu_double.tensors import is_npu_tensor


class FusedSGD(Optimizer):
    """SGD over flattened parameters.

    It flattens at the first zero_grad or step: what has no gradient then is left out for good, and
    what is replaced afterwards breaks it (an error here; wrong results on the real thing).
    """

    fused_on_npu = True

    def __init__(self, params, lr, momentum=0, dampening=0, weight_decay=0, nesterov=False):
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        settings = {"lr": lr, "momentum": momentum, "dampening": dampening}
        super().__init__(params, dict(settings, weight_decay=weight_decay, nesterov=nesterov))
        for weight in self._parameters():
            if not is_npu_tensor(weight) or weight.dtype not in (torch.float32, torch.float16):
                raise TypeError(
                    f"fused optimizers take float32 and float16 NPU tensors, not {weight.dtype} on "
                    f"{weight.device}"
                )
        self._combined = None
        report.note("NpuFusedSGD", of=type(self).__module__.split(".")[0])

    def _parameters(self):
        return [weight for group in self.param_groups for weight in group["params"]]

    def combine(self):
        """Flattens, the first time; afterwards sees that nothing was replaced."""
        if self._combined is None:
            self._combined = [
                (weight, weight.data_ptr(), weight.grad.data_ptr())
                for weight in self._parameters()
                if weight.grad is not None
            ]
            report.note(
                "combined",
                parameters=len(self._combined),
                left_out=len(self._parameters()) - len(self._combined),
            )
        for weight, data, gradient in self._combined:
            if (
                weight.data_ptr() != data
                or weight.grad is None
                or weight.grad.data_ptr() != gradient
            ):
                raise RuntimeError(
                    "a parameter's data or gradient was replaced after the fused "
                    "optimizer had flattened them"
                )

    def zero_grad(self, set_to_none=False):
        """Zeros the gradients in their buffer."""
        if set_to_none:
            raise ValueError("set_to_none is not supported in fused optimizers")
        self.combine()
        for weight, _, _ in self._combined:
            weight.grad.zero_()

    @torch.no_grad()
    def step(self, closure=None):
        """One step of SGD for what was flattened."""
        self.combine()
        flattened = {id(weight) for weight, _, _ in self._combined}
        for group in self.param_groups:
            for weight in group["params"]:
                if id(weight) in flattened:
                    self._step(weight, group)

    def _step(self, weight, group):
        gradient = weight.grad
        if group["weight_decay"]:
            gradient = gradient.add(weight, alpha=group["weight_decay"])
        if group["momentum"]:
            state = self.state[weight]
            buffer = state.get("momentum_buffer")
            if buffer is None:
                buffer = state["momentum_buffer"] = gradient.clone().detach()
            else:
                buffer.mul_(group["momentum"]).add_(gradient, alpha=1 - group["dampening"])
            gradient = (
                gradient.add(buffer, alpha=group["momentum"]) if group["nesterov"] else buffer
            )
        weight.add_(gradient, alpha=-group["lr"])

    def load_state_dict(self, state_dict):
        """Before the first step only."""
        if self._combined is not None:
            raise RuntimeError("state was loaded into a fused optimizer after its first step")
        super().load_state_dict(state_dict)

    def _clip(self, max_norm, norm_type):
        self.combine()
        return torch.nn.utils.clip_grad_norm_(
            [weight for weight, _, _ in self._combined], max_norm, norm_type
        )


class TorchNpuFusedSGD(FusedSGD):
    """That of torch_npu.optim."""

    is_npu_fused_optimizer = True

    def clip_grad_norm_fused_(self, max_norm, norm_type):
        """Clips all gradients in their buffer."""
        return self._clip(max_norm, norm_type)


TorchNpuFusedSGD.__module__, TorchNpuFusedSGD.__name__ = "torch_npu.optim", "NpuFusedSGD"
