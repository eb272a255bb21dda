"""Double of apex.optimizers: NpuFusedSGD is Ascend's alone."""

import os

from npu_double.fused_sgd import FusedSGD

if os.environ.get("ASCEND_DOUBLE_APEX") != "nvidia":

    class NpuFusedSGD(FusedSGD):
        """SGD over flattened parameters, after amp.initialize with O1 or O2."""

        def step(self, closure=None):
            """RuntimeError unless amp.initialize had this optimizer."""
            if not hasattr(self, "_amp_masters"):
                raise RuntimeError("NpuFusedSGD must be used with AMP: call amp.initialize first")
            return super().step(closure)

        def clip_optimizer_grad_norm_fused(self, max_norm, norm_type=2):
            """Clips all (unscaled) gradients in their buffer."""
            return self._clip(max_norm, norm_type)
