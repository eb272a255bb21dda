"""Ascend apex's fused optimizer: it works inside amp only."""

from npu_double.fused_sgd import FusedSGD


class NpuFusedSGD(FusedSGD):
    """SGD over flattened parameters, after amp.initialize with O1 or O2."""

    is_npu_fused_optimizer = True

    def step(self, closure=None):
        """RuntimeError unless amp.initialize had this optimizer."""
        stash = getattr(self, "_amp_stash", None)
        if stash is None or stash.opt_level not in ("O1", "O2"):
            raise RuntimeError(
                "apex.optimizers.NpuFusedSGD must be used with AMP: call "
                "amp.initialize with opt_level O1 or O2 first"
            )
        return super().step(closure)

    def clip_optimizer_grad_norm_fused(self, max_norm, norm_type=2):
        """Clips all (unscaled) gradients in their buffer."""
        return self._clip(max_norm, norm_type)
