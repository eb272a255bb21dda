"""NpuFusedSGD, of torch_npu.optim and of apex: one buffer for all parameters."""

import torch

from npu_double import report


class FusedSGD(torch.optim.SGD):
    """SGD over flattened parameters.

    It flattens at the first zero_grad or step: what has no gradient then is left out for good, and
    what is replaced afterwards breaks it (an error here; wrong results on the real thing).
    """

    fused_on_npu = True

    def __init__(self, params, lr, momentum=0, dampening=0, weight_decay=0, nesterov=False):
        super().__init__(params, lr, momentum, dampening, weight_decay, nesterov)
        self._combined = None
        report.note("NpuFusedSGD")

    def combine(self):
        """Flattens, the first time; afterwards sees that nothing was replaced."""
        weights = [weight for group in self.param_groups for weight in group["params"]]
        if self._combined is None:
            self._combined = [
                (weight, weight.data_ptr(), weight.grad.data_ptr())
                for weight in weights
                if weight.grad is not None
            ]
            left_out = len(weights) - len(self._combined)
            report.note("combined", parameters=len(self._combined), left_out=left_out)
        for weight, data, gradient in self._combined:
            kept = weight.grad is not None and weight.grad.data_ptr() == gradient
            if not kept or weight.data_ptr() != data:
                raise RuntimeError("a parameter or its gradient was replaced after flattening")
        flattened = {id(weight) for weight, _, _ in self._combined}
        for weight in weights:
            if id(weight) not in flattened:
                weight.grad = None

    def zero_grad(self, set_to_none=False):
        """Zeros the gradients in their buffer."""
        if set_to_none:
            raise ValueError("set_to_none is not supported in fused optimizers")
        self.combine()
        for weight, _, _ in self._combined:
            weight.grad.zero_()

    def step(self, closure=None):
        """One step of SGD for what was flattened."""
        self.combine()
        return super().step(closure)

    def load_state_dict(self, state_dict):
        """Before the first step only."""
        if self._combined is not None:
            raise RuntimeError("state was loaded into a fused optimizer after its first step")
        super().load_state_dict(state_dict)

    def _clip(self, max_norm, norm_type):
        self.combine()
        weights = [weight for weight, _, _ in self._combined]
        return torch.nn.utils.clip_grad_norm_(weights, max_norm, norm_type)


class TorchNpuFusedSGD(FusedSGD):
    """That of torch_npu.optim."""

    def clip_grad_norm_fused_(self, max_norm, norm_type):
        """Clips all gradients in their buffer."""
        return self._clip(max_norm, norm_type)


TorchNpuFusedSGD.__module__, TorchNpuFusedSGD.__name__ = "torch_npu.optim", "NpuFusedSGD"
