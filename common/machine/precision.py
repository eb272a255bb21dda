"""The one vocabulary of precision modes: what each name is on each framework and device.

docs/precision.md tells the same in tables, and a test holds the two to each other.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Callable, Dict, Mapping, Optional, Tuple

from common.core.errors import UsageError
from common.core.text import version_numbers

INITIAL_DYNAMIC_SCALE = 65536.0
STATIC_SCALE_OF_HALF_WEIGHTS = 128.0
SMALLEST_LOSS_SCALE = 1.0
# Of a dynamic loss scale: steps without overflow until it grows, and by how much it changes.
GROWTH_INTERVAL = 2000
GROWTH_FACTOR = 2.0
BACKOFF_FACTOR = 0.5

KEEP, FORCE_32, TO_16, TO_BF16, MIX, MIX_BF16, O1, O2, FORCE_16 = (
    "must_keep_origin_dtype",
    "force_fp32",
    "allow_fp32_to_fp16",
    "allow_fp32_to_bf16",
    "allow_mix_precision",
    "allow_mix_precision_bf16",
    "O1",
    "O2",
    "force_fp16",
)
ALIASES: Dict[str, Tuple[str, ...]] = {
    KEEP: ("origin", "fp32", "O0"),
    FORCE_32: ("cube_fp16in_fp32out",),
    TO_16: (),
    TO_BF16: (),
    MIX: ("allow_mix_precision_fp16", "mixed_float16"),
    MIX_BF16: ("mixed_bfloat16",),
    O1: (),
    O2: (),
    FORCE_16: ("fp16", "O3"),
}
CANONICAL: Dict[str, str] = {
    name: mode for mode, aliases in ALIASES.items() for name in (mode, *aliases)
}


@dataclasses.dataclass(frozen=True)
class Capabilities:
    """What decides which modes are possible; the runtime adapters fill it in.

    Attributes:
        framework_version: such as "1.8.1+cpu".
        device_name: for error messages, such as "Ascend910A".
        bfloat16: whether device and framework together compute in bfloat16.
        tf32: whether the GPU has TF32 (Ampere and later).
        ascend_apex: whether Ascend's apex (not NVIDIA's, not the registry's) is installed.
    """

    framework_version: str
    device_name: str = ""
    bfloat16: bool = False
    tf32: bool = False
    ascend_apex: bool = False

    def since(self, *version: int) -> bool:
        """Whether the framework is of this version or later."""
        return version_numbers(self.framework_version) >= version


@dataclasses.dataclass(frozen=True)
class Need:
    """Something a mode needs: its test, and why the mode can't be had without."""

    holds: Callable[[Capabilities], bool]
    obstacle: str


_BF16_AUTOCAST = Need(lambda able: able.since(1, 10), "bfloat16 autocast needs torch 1.10 or later")
_BF16_NPU = Need(lambda able: able.since(2, 1), "bfloat16 needs torch_npu 2.1 or later")
_BF16 = Need(lambda able: able.bfloat16, "the device has no bfloat16 arithmetic")
_APEX = Need(lambda able: able.ascend_apex, "Ascend's apex is not installed")
_REWRITE = "the graph rewrite to bfloat16 needs "
_BF16_REWRITE = Need(lambda able: able.since(2, 10), _REWRITE + "TensorFlow 2.10 or later")
_BF16_PROCESSOR = Need(
    lambda able: able.bfloat16, _REWRITE + "oneDNN on a CPU with AVX512_BF16 or AMX"
)


@dataclasses.dataclass(frozen=True)
class Way:
    """How a mode is done.

    Attributes:
        arithmetic: what the numbers are: "float16 autocast"; means: by what, for records.
        autocast_dtype: "float16", "bfloat16" or None where autocast (in TensorFlow the graph
            rewrite) stays off.
        half_weights: whether the network itself is cast to float16.
        loss_scale_policy: "none", "static" or "dynamic".
        loss_scale: the static scale, or the first one of a dynamic scale.
        scaler: what would scale the loss; None where there is nothing to scale.
        npu_precision_mode: the value of ACL_PRECISION_MODE (torch_npu) or of precision_mode
            (npu_bridge), always set on an NPU.
        apex_opt_level: "O1" or "O2" where Ascend's apex does it.
        tf32: whether a GPU may use TF32; never left to the framework's default.
        needs: what must hold; obstacle: why the mode can't be had at all.
        nearest: the modes to name where it can't be had, best first.
    """

    arithmetic: str
    means: str
    autocast_dtype: Optional[str] = None
    half_weights: bool = False
    loss_scale_policy: str = "none"
    loss_scale: Optional[float] = None
    scaler: Optional[str] = None
    npu_precision_mode: Optional[str] = None
    apex_opt_level: Optional[str] = None
    tf32: bool = False
    needs: Tuple[Need, ...] = ()
    obstacle: str = ""
    nearest: Tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Precision(Way):
    """A mode as it is done on one device; `requested` is what the user wrote, `name` canonical."""

    requested: str = ""
    name: str = ""
    framework: str = ""
    device_kind: str = ""

    @property
    def implementation(self) -> str:
        """What does it, in words: "torch autocast float16 + dynamic GradScaler"."""
        if self.loss_scale_policy == "none":
            return self.means
        if self.loss_scale_policy == "dynamic":
            return f"{self.means} + dynamic {self.scaler}"
        checked = "never checked" if self.apex_opt_level else "checked"
        return f"{self.means} + static {self.scaler} {self.loss_scale or 0:g}, overflow {checked}"

    def as_record(self) -> Dict[str, str]:
        """The `precision` part of a run's start event and record."""
        scale = self.loss_scale_policy
        if scale == "static":
            scale = f"static {self.loss_scale or 0:g}"
        return {"mode": self.requested, "arithmetic": self.means, "loss_scale": scale}


# --- what each mode is, by framework, device and version -------------------------------------


_BRIDGE_SCALER = "NPULossScaleOptimizer"


def _impossible(obstacle: str, *nearest: str) -> Way:
    return Way("", "", obstacle=obstacle, nearest=nearest)


def _dynamic(way: Way, scaler: str) -> Way:
    return dataclasses.replace(
        way, loss_scale_policy="dynamic", loss_scale=INITIAL_DYNAMIC_SCALE, scaler=scaler
    )


def _autocast(dtype: str, by: str, kind: str = "autocast", **settings: object) -> Way:
    way = Way(f"{dtype} {kind}", by, autocast_dtype=dtype)
    return dataclasses.replace(way, **settings)  # type: ignore[arg-type]


def _apex(level: str) -> Way:
    way = Way(
        "float16 apex " + level,
        "Ascend apex " + level,
        apex_opt_level=level,
        npu_precision_mode=TO_16,
        needs=(_APEX,),
        nearest=(MIX,),
    )
    return _dynamic(way, "apex loss scale")


def _by_npu_bridge(mode: str, arithmetic: str, scaler: Optional[str] = _BRIDGE_SCALER) -> Way:
    means = "npu_bridge precision_mode " + mode
    return Way(arithmetic, means, npu_precision_mode=mode, scaler=scaler)


def _with_bfloat16(mode: str, arithmetic: str) -> Way:
    way = _by_npu_bridge(mode, arithmetic, None)
    return dataclasses.replace(way, needs=(_BF16,), nearest=(MIX, KEEP))


_NPU_FLOAT_16 = _dynamic(
    _autocast("float16", "torch_npu.npu.amp autocast float16", npu_precision_mode=TO_16),
    "torch_npu GradScaler",
)
_TORCH_NPU: Dict[str, Way] = {
    KEEP: Way(
        "float32",
        "float32, ACL_PRECISION_MODE must_keep_origin_dtype, HF32 off",
        npu_precision_mode=KEEP,
    ),
    FORCE_32: _impossible(
        "torch_npu offers must_keep_origin_dtype and allow_fp32_to_fp16 only", KEEP
    ),
    TO_16: Way(
        "float32, matrix operations float16",
        "float32 tensors, ACL_PRECISION_MODE allow_fp32_to_fp16",
        npu_precision_mode=TO_16,
        scaler="torch_npu GradScaler",
    ),
    TO_BF16: _impossible("torch_npu's ACL_PRECISION_MODE has no bfloat16 value", MIX_BF16, TO_16),
    **dict.fromkeys((MIX, O1, O2), _NPU_FLOAT_16),
    MIX_BF16: _autocast(
        "bfloat16",
        "torch_npu.npu.amp autocast bfloat16",
        npu_precision_mode=KEEP,
        needs=(_BF16_NPU, _BF16),
        nearest=(MIX, KEEP),
    ),
    FORCE_16: _impossible("Ascend supports apex O1 and O2 only", O2, MIX),
}
_GPU_FLOAT_32 = Way("float32", "float32, TF32 off")
# TF32 reads float32 inputs with 10 bits of mantissa, as float16 has, and adds in float32.
_TF32 = Way("float32, matrix operations TF32", "float32, TF32 on where the GPU has it", tf32=True)
_GPU_FLOAT_16 = _dynamic(_autocast("float16", "torch autocast float16"), "GradScaler")
_GPU_BF16 = _autocast(
    "bfloat16", "torch autocast bfloat16", needs=(_BF16_AUTOCAST, _BF16), nearest=(MIX, KEEP)
)
_GPU_REWRITE = _dynamic(
    _autocast("float16", "TensorFlow graph rewrite float16", "graph rewrite"), "loss scale"
)
_GPU_NO_BF16 = _impossible("TensorFlow's graph rewrite has float16 only on a GPU", MIX, KEEP)
_CPU: Dict[str, Way] = {
    KEEP: Way("float32", "float32"),
    FORCE_32: Way("float32", "float32 (no kernel with reduced inputs)"),
    **dict.fromkeys(
        (TO_16, MIX, O1, O2, FORCE_16),
        _impossible("float16 training arithmetic is not offered on a CPU", MIX_BF16, KEEP),
    ),
}
_CPU_BF16 = _autocast(
    "bfloat16", "torch autocast bfloat16", needs=(_BF16_AUTOCAST,), nearest=(KEEP,)
)
_CPU_REWRITE = _autocast(
    "bfloat16",
    "TensorFlow graph rewrite bfloat16 (oneDNN)",
    "graph rewrite",
    needs=(_BF16_REWRITE, _BF16_PROCESSOR),
    nearest=(KEEP,),
)
_NPU_BRIDGE_MIXED = _dynamic(_by_npu_bridge(MIX, "mixed float16"), _BRIDGE_SCALER)

# By framework and device, and for torch_npu by its first version's number.
TABLE: Dict[Tuple[str, str, str], Dict[str, Way]] = {
    ("torch", "npu", "1"): {**_TORCH_NPU, O1: _apex(O1), O2: _apex(O2)},
    ("torch", "npu", "2"): _TORCH_NPU,
    ("torch", "gpu", ""): {
        KEEP: _GPU_FLOAT_32,
        FORCE_32: _TF32,
        **dict.fromkeys((TO_16, MIX, O1, O2), _GPU_FLOAT_16),
        **dict.fromkeys((TO_BF16, MIX_BF16), _GPU_BF16),
        FORCE_16: Way(
            "float16 weights",
            "float16 weights by model.half()",
            half_weights=True,
            loss_scale_policy="static",
            loss_scale=STATIC_SCALE_OF_HALF_WEIGHTS,
            scaler="loss scale",
        ),
    },
    ("torch", "cpu", ""): {**_CPU, **dict.fromkeys((TO_BF16, MIX_BF16), _CPU_BF16)},
    ("tensorflow", "npu", ""): {
        KEEP: _by_npu_bridge(KEEP, "float32", None),
        FORCE_32: _by_npu_bridge(FORCE_32, "float32, matrix operations may read float16"),
        TO_16: _by_npu_bridge(TO_16, "float32, matrix operations float16"),
        TO_BF16: _with_bfloat16(TO_BF16, "float32, matrix operations bfloat16"),
        **dict.fromkeys((MIX, O1, O2), _NPU_BRIDGE_MIXED),
        MIX_BF16: _with_bfloat16(MIX_BF16, "mixed bfloat16"),
        FORCE_16: _dynamic(_by_npu_bridge(FORCE_16, "float16"), _BRIDGE_SCALER),
    },
    ("tensorflow", "gpu", ""): {
        KEEP: _GPU_FLOAT_32,
        FORCE_32: _TF32,
        **dict.fromkeys((TO_16, MIX, O1, O2), _GPU_REWRITE),
        **dict.fromkeys((TO_BF16, MIX_BF16), _GPU_NO_BF16),
        FORCE_16: _impossible("TensorFlow's graph rewrite keeps float32 weights", MIX),
    },
    ("tensorflow", "cpu", ""): {**_CPU, **dict.fromkeys((TO_BF16, MIX_BF16), _CPU_REWRITE)},
}


# --- resolving -------------------------------------------------------------------------------


def resolve(mode: str, framework: str, device_kind: str, capabilities: Capabilities) -> Precision:
    """What `mode` is on this device, never something else.

    Args:
        mode: any name or alias of a mode.
        framework: "torch" or "tensorflow".
        device_kind: "npu", "gpu" or "cpu".
        capabilities: what framework and device can do.

    Raises:
        UsageError: no such mode, or impossible here; names the nearest possible mode.
    """
    if mode not in CANONICAL:
        raise UsageError(f"--precision_mode {mode!r} is unknown; there are: {', '.join(CANONICAL)}")
    name = CANONICAL[mode]
    by_age = (framework, device_kind) == ("torch", "npu")
    age = ("2" if capabilities.since(2) else "1") if by_age else ""
    modes = TABLE[framework, device_kind, age]
    way, obstacle = modes[name], _obstacle(modes[name], capabilities)
    if not obstacle:
        return Precision(
            **vars(way), requested=mode, name=name, framework=framework, device_kind=device_kind
        )
    possible = (other for other in way.nearest if not _obstacle(modes[other], capabilities))
    device = f" ({capabilities.device_name})" if capabilities.device_name else ""
    raise UsageError(
        f"--precision_mode {mode} is impossible on {device_kind}{device} with {framework} "
        f"{capabilities.framework_version}: {obstacle}; the nearest possible mode is "
        f"{next(possible, KEEP)}"
    )


def _obstacle(way: Way, capabilities: Capabilities) -> str:
    """Why a way can't be had, "" where it can."""
    missing = (need.obstacle for need in way.needs if not need.holds(capabilities))
    return way.obstacle or next(missing, "")


def default_mode(card_defaults: Mapping[str, str], device_kind: str) -> str:
    """The mode a model card names for this kind of device; float32 where it names none."""
    return card_defaults.get(device_kind, KEEP)


def with_loss_scale(precision: Precision, text: str) -> Precision:
    """The precision with its loss scale replaced by a number (at least 1), "dynamic" or "none".

    Raises:
        UsageError: none of these, or nothing is scaled in this mode.
    """
    if text == "none":
        return dataclasses.replace(precision, loss_scale_policy="none", loss_scale=None)
    if precision.scaler is None:
        raise UsageError(
            f"--loss_scale {text} would change nothing: --precision_mode {precision.requested} on "
            f"{precision.device_kind} is {precision.arithmetic} and scales no loss; leave "
            "--loss_scale out"
        )
    if text == "dynamic":
        return dataclasses.replace(
            precision, loss_scale_policy="dynamic", loss_scale=INITIAL_DYNAMIC_SCALE
        )
    try:
        scale = float(text)
    except ValueError:
        scale = math.nan
    if not (math.isfinite(scale) and scale >= SMALLEST_LOSS_SCALE):
        raise UsageError(
            f"--loss_scale expects a number of at least 1, dynamic or none, not {text!r}"
        )
    return dataclasses.replace(precision, loss_scale_policy="static", loss_scale=scale)
