"""Double of apex.optimizers: NpuFusedSGD is Ascend's, NVIDIA's has its own."""

from apex import IS_ASCEND

if IS_ASCEND:
    from apex.optimizers.npu_fused_sgd import NpuFusedSGD  # noqa: F401
else:

    class FusedSGD:
        """NVIDIA's, for a GPU."""

        def __init__(self, *arguments, **named):
            raise RuntimeError("apex.optimizers.FusedSGD requires cuda extensions")
