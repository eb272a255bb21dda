"""What the benchmark compares, as data: each variant's name, layout, precision and compiler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Tuple

from benchmarks.shared.harness import BASELINE


@dataclass(frozen=True)
class Variant:
    """One way to train the reference network.

    Attributes:
        plain: True runs benchmarks' baseline with its DataLoader, False the project's own
            network, training step and loader.
        precision: "fp32", "bf16" or "fp16".
        compile_mode: a mode of torch.compile ("reduce-overhead" records CUDA graphs), "" for none.
    """

    name: str
    plain: bool
    precision: str = "fp32"
    channels_last: bool = False
    compile_mode: str = ""


def _all() -> Tuple[Variant, ...]:
    last = {"plain": True, "channels_last": True}
    return (
        Variant(BASELINE, plain=True),
        Variant("baseline_channels_last", **last),
        Variant("baseline_bf16_channels_last", precision="bf16", **last),
        Variant("ours_fp32", plain=False),
        Variant("ours_bf16", plain=False, precision="bf16"),
        Variant("ours_fp16", plain=False, precision="fp16"),
        Variant("ours_fp32_compiled", plain=False, compile_mode="default"),
        Variant("ours_bf16_compiled", plain=False, precision="bf16", compile_mode="default"),
        Variant("ours_bf16_graphs", plain=False, precision="bf16", compile_mode="reduce-overhead"),
        Variant("ours_fp16_graphs", plain=False, precision="fp16", compile_mode="reduce-overhead"),
    )


VARIANTS: Dict[str, Variant] = {variant.name: variant for variant in _all()}


def default_names(device_kind: str, torch_version: Tuple[int, ...]) -> Tuple[str, ...]:
    """The variants that run where none are named, the baseline first."""
    if device_kind == "gpu" and torch_version >= (2,):
        return (BASELINE, "ours_fp32", "ours_bf16", "ours_bf16_compiled", "ours_bf16_graphs")
    if device_kind == "gpu":
        return (BASELINE, "ours_fp32", "ours_fp16")
    if torch_version >= (2,):
        return (
            BASELINE,
            "baseline_channels_last",
            "baseline_bf16_channels_last",
            "ours_fp32",
            "ours_bf16",
        )
    return (BASELINE, "ours_fp32")
