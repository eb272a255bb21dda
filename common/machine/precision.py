"""The one vocabulary of precision modes: what each name is on each framework and device."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from common.core.errors import UsageError, ZooError
from common.core.versions import version_numbers

INITIAL_DYNAMIC_SCALE = 65536.0
STATIC_SCALE_OF_HALF_WEIGHTS = 128.0
SMALLEST_LOSS_SCALE = 1.0
# Of a dynamic loss scale: steps without overflow until it grows, and by how much it changes.
GROWTH_INTERVAL = 2000
GROWTH_FACTOR = 2.0
BACKOFF_FACTOR = 0.5
PAGE = "docs/precision.md"


# --- the names -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mode:
    """A precision mode: its name here, the other names it has, what it asks for."""

    name: str
    aliases: Tuple[str, ...]
    meaning: str


MODES: Tuple[Mode, ...] = (
    Mode(
        "must_keep_origin_dtype",
        ("origin", "fp32", "O0"),
        "every operation in the type the model is written in: float32",
    ),
    Mode(
        "force_fp32",
        ("cube_fp16in_fp32out",),
        "matrix operations may read inputs of reduced precision, results and all else float32",
    ),
    Mode(
        "allow_fp32_to_fp16",
        (),
        "vector operations float32 where there is a kernel for it, matrix operations float16",
    ),
    Mode("allow_fp32_to_bf16", (), "as allow_fp32_to_fp16, with bfloat16"),
    Mode(
        "allow_mix_precision",
        ("allow_mix_precision_fp16", "mixed_float16"),
        "mixed by the framework's lists: white float16, black float32, grey as its input",
    ),
    Mode("allow_mix_precision_bf16", ("mixed_bfloat16",), "as allow_mix_precision, with bfloat16"),
    Mode("O1", (), "apex O1: float32 weights, functions on the white list in float16"),
    Mode("O2", (), "apex O2: float16 network with float32 batch normalisation and master weights"),
    Mode("force_fp16", ("fp16", "O3"), "float16 wherever it can be, the weights included"),
)

CANONICAL: Dict[str, str] = {
    name: mode.name for mode in MODES for name in (mode.name,) + mode.aliases
}


# --- what a device can do --------------------------------------------------------------------


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class Requirement:
    """Something a mode needs: its test, when it holds (for the page), why not (for errors)."""

    holds: Callable[[Capabilities], bool]
    where: str
    obstacle: str


REQUIREMENTS: Dict[str, Requirement] = {
    "autocast": Requirement(
        lambda able: version_numbers(able.framework_version) >= (1, 6),
        "torch 1.6 or later",
        "autocast needs torch 1.6 or later",
    ),
    "bfloat16 autocast": Requirement(
        lambda able: version_numbers(able.framework_version) >= (1, 10),
        "torch 1.10 or later",
        "bfloat16 autocast needs torch 1.10 or later",
    ),
    "bfloat16 npu": Requirement(
        lambda able: version_numbers(able.framework_version) >= (2, 1),
        "torch_npu 2.1 or later",
        "bfloat16 needs torch_npu 2.1 or later",
    ),
    "bfloat16": Requirement(
        lambda able: able.bfloat16,
        "a device with bfloat16",
        "the device has no bfloat16 arithmetic",
    ),
    "ascend apex": Requirement(
        lambda able: able.ascend_apex, "Ascend's apex", "Ascend's apex is not installed"
    ),
    "bfloat16 rewrite": Requirement(
        lambda able: version_numbers(able.framework_version) >= (2, 10),
        "TensorFlow 2.10 or later",
        "the graph rewrite to bfloat16 needs TensorFlow 2.10 or later",
    ),
    "bfloat16 processor": Requirement(
        lambda able: able.bfloat16,
        "oneDNN on a CPU with AVX512_BF16 or AMX",
        "the graph rewrite to bfloat16 needs oneDNN on a CPU with AVX512_BF16 or AMX",
    ),
}


# --- the table -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Column:
    """One column of the table: a framework on a kind of device, for a range of its versions."""

    title: str
    framework: str
    device_kind: str
    first: Tuple[int, ...] = ()
    before: Tuple[int, ...] = (1000,)


@dataclass(frozen=True)
class Way:
    """How a mode is done in a column; fields as in Precision, plus what it needs."""

    arithmetic: str
    means: str
    autocast_dtype: Optional[str] = None
    half_weights: bool = False
    policy: str = "none"
    scale: Optional[float] = None
    scaler: Optional[str] = None
    npu_precision_mode: Optional[str] = None
    apex_opt_level: Optional[str] = None
    tf32: bool = False
    needs: Tuple[str, ...] = ()
    nearest: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Impossible:
    """Why a mode can't be had in a column, and the modes to name instead, best first."""

    reason: str
    nearest: Tuple[str, ...]


COLUMNS: Dict[str, Column] = {
    "torch_npu_1": Column("NPU, torch 1.8 to 1.11", "torch", "npu", before=(2,)),
    "torch_npu_2": Column("NPU, torch 2", "torch", "npu", first=(2,)),
    "torch_gpu": Column("GPU, torch", "torch", "gpu"),
    "torch_cpu": Column("CPU, torch", "torch", "cpu"),
    "tf_npu": Column("NPU, TensorFlow", "tensorflow", "npu"),
    "tf_gpu": Column("GPU, TensorFlow", "tensorflow", "gpu"),
    "tf_cpu": Column("CPU, TensorFlow", "tensorflow", "cpu"),
}

_KEEP, _ALLOW_16 = "must_keep_origin_dtype", "allow_fp32_to_fp16"
_NPU_FLOAT32 = Way(
    "float32",
    "float32, ACL_PRECISION_MODE must_keep_origin_dtype, HF32 off",
    npu_precision_mode=_KEEP,
)
_NPU_REDUCED = Way(
    "float32, matrix operations float16",
    "float32 tensors, ACL_PRECISION_MODE allow_fp32_to_fp16",
    npu_precision_mode=_ALLOW_16,
    scaler="torch_npu GradScaler",
)
_NPU_AUTOCAST = Way(
    "float16 autocast",
    "torch_npu.npu.amp autocast float16",
    autocast_dtype="float16",
    policy="dynamic",
    scale=INITIAL_DYNAMIC_SCALE,
    scaler="torch_npu GradScaler",
    npu_precision_mode=_ALLOW_16,
)
_NPU_NO_FORCE_FP32 = Impossible(
    "torch_npu offers must_keep_origin_dtype and allow_fp32_to_fp16 only", (_KEEP,)
)
_NPU_NO_BF16_OPTION = Impossible(
    "torch_npu's ACL_PRECISION_MODE has no bfloat16 value",
    ("allow_mix_precision_bf16", "allow_fp32_to_fp16"),
)
_NPU_NO_FORCE_FP16 = Impossible(
    "Ascend supports apex O1 and O2 only", ("O2", "allow_mix_precision")
)


def _apex(level: str) -> Way:
    return Way(
        "float16 apex " + level,
        "Ascend apex " + level,
        policy="dynamic",
        scale=INITIAL_DYNAMIC_SCALE,
        scaler="apex loss scale",
        apex_opt_level=level,
        npu_precision_mode=_ALLOW_16,
        needs=("ascend apex",),
        nearest=("allow_mix_precision",),
    )


_NPU_BF16 = Way(
    "bfloat16 autocast",
    "torch_npu.npu.amp autocast bfloat16",
    autocast_dtype="bfloat16",
    npu_precision_mode=_KEEP,
    needs=("bfloat16 npu", "bfloat16"),
    nearest=("allow_mix_precision", _KEEP),
)

_GPU_AUTOCAST = Way(
    "float16 autocast",
    "torch autocast float16",
    autocast_dtype="float16",
    policy="dynamic",
    scale=INITIAL_DYNAMIC_SCALE,
    scaler="GradScaler",
    needs=("autocast",),
    nearest=(_KEEP,),
)
_GPU_BF16 = Way(
    "bfloat16 autocast",
    "torch autocast bfloat16",
    autocast_dtype="bfloat16",
    needs=("bfloat16 autocast", "bfloat16"),
    nearest=("allow_mix_precision", _KEEP),
)
_CPU_FLOAT32 = Way("float32", "float32")
_CPU_BF16 = Way(
    "bfloat16 autocast",
    "torch autocast bfloat16",
    autocast_dtype="bfloat16",
    needs=("bfloat16 autocast",),
    nearest=(_KEEP,),
)
_CPU_NO_FLOAT16 = Impossible(
    "float16 training arithmetic is not offered on a CPU", ("allow_mix_precision_bf16", _KEEP)
)


def _tf_npu(
    mode: str,
    arithmetic: str,
    scaled: bool = False,
    scalable: bool = True,
    needs: Tuple[str, ...] = (),
) -> Way:
    """What npu_bridge does with a precision_mode; `scaled` where float16 needs a loss scale."""
    return Way(
        arithmetic,
        "npu_bridge precision_mode " + mode,
        npu_precision_mode=mode,
        policy="dynamic" if scaled else "none",
        scale=INITIAL_DYNAMIC_SCALE if scaled else None,
        scaler="NPULossScaleOptimizer" if scalable else None,
        needs=needs,
        nearest=("allow_mix_precision", _KEEP) if needs else (),
    )


_MIX, _MIX_BF16 = "allow_mix_precision", "allow_mix_precision_bf16"
_TF_NPU_MIXED = _tf_npu(_MIX, "mixed float16", scaled=True)
_TF_GPU_MIXED = Way(
    "float16 graph rewrite",
    "TensorFlow graph rewrite float16",
    autocast_dtype="float16",
    policy="dynamic",
    scale=INITIAL_DYNAMIC_SCALE,
    scaler="loss scale",
)
_TF_GPU_NO_BF16 = Impossible("TensorFlow's graph rewrite has float16 only on a GPU", (_MIX, _KEEP))
_TF_GPU_NO_HALF = Impossible("TensorFlow's graph rewrite keeps float32 weights", (_MIX,))
_TF_CPU_BF16 = Way(
    "bfloat16 graph rewrite",
    "TensorFlow graph rewrite bfloat16 (oneDNN)",
    autocast_dtype="bfloat16",
    needs=("bfloat16 rewrite", "bfloat16 processor"),
    nearest=(_KEEP,),
)

TABLE: Dict[str, Dict[str, Union[Way, Impossible]]] = {
    "must_keep_origin_dtype": {
        "torch_npu_1": _NPU_FLOAT32,
        "torch_npu_2": _NPU_FLOAT32,
        "torch_gpu": Way("float32", "float32, TF32 off"),
        "torch_cpu": _CPU_FLOAT32,
        "tf_npu": _tf_npu(_KEEP, "float32", scalable=False),
        "tf_gpu": Way("float32", "float32, TF32 off"),
        "tf_cpu": _CPU_FLOAT32,
    },
    "force_fp32": {
        "torch_npu_1": _NPU_NO_FORCE_FP32,
        "torch_npu_2": _NPU_NO_FORCE_FP32,
        # TF32 reads float32 inputs with 10 bits of mantissa, as float16 has, and adds in float32.
        "torch_gpu": Way(
            "float32, matrix operations TF32", "float32, TF32 on where the GPU has it", tf32=True
        ),
        "torch_cpu": Way("float32", "float32 (no kernel with reduced inputs)"),
        "tf_npu": _tf_npu("force_fp32", "float32, matrix operations may read float16"),
        "tf_gpu": Way(
            "float32, matrix operations TF32", "float32, TF32 on where the GPU has it", tf32=True
        ),
        "tf_cpu": Way("float32", "float32 (no kernel with reduced inputs)"),
    },
    "allow_fp32_to_fp16": {
        "torch_npu_1": _NPU_REDUCED,
        "torch_npu_2": _NPU_REDUCED,
        "torch_gpu": _GPU_AUTOCAST,
        "torch_cpu": _CPU_NO_FLOAT16,
        "tf_npu": _tf_npu(_ALLOW_16, "float32, matrix operations float16"),
        "tf_gpu": _TF_GPU_MIXED,
        "tf_cpu": _CPU_NO_FLOAT16,
    },
    "allow_fp32_to_bf16": {
        "torch_npu_1": _NPU_NO_BF16_OPTION,
        "torch_npu_2": _NPU_NO_BF16_OPTION,
        "torch_gpu": _GPU_BF16,
        "torch_cpu": _CPU_BF16,
        "tf_npu": _tf_npu(
            "allow_fp32_to_bf16",
            "float32, matrix operations bfloat16",
            scalable=False,
            needs=("bfloat16",),
        ),
        "tf_gpu": _TF_GPU_NO_BF16,
        "tf_cpu": _TF_CPU_BF16,
    },
    "allow_mix_precision": {
        "torch_npu_1": _NPU_AUTOCAST,
        "torch_npu_2": _NPU_AUTOCAST,
        "torch_gpu": _GPU_AUTOCAST,
        "torch_cpu": _CPU_NO_FLOAT16,
        "tf_npu": _TF_NPU_MIXED,
        "tf_gpu": _TF_GPU_MIXED,
        "tf_cpu": _CPU_NO_FLOAT16,
    },
    "allow_mix_precision_bf16": {
        "torch_npu_1": _NPU_BF16,
        "torch_npu_2": _NPU_BF16,
        "torch_gpu": _GPU_BF16,
        "torch_cpu": _CPU_BF16,
        "tf_npu": _tf_npu(_MIX_BF16, "mixed bfloat16", scalable=False, needs=("bfloat16",)),
        "tf_gpu": _TF_GPU_NO_BF16,
        "tf_cpu": _TF_CPU_BF16,
    },
    "O1": {
        "torch_npu_1": _apex("O1"),
        "torch_npu_2": _NPU_AUTOCAST,
        "torch_gpu": _GPU_AUTOCAST,
        "torch_cpu": _CPU_NO_FLOAT16,
        "tf_npu": _TF_NPU_MIXED,
        "tf_gpu": _TF_GPU_MIXED,
        "tf_cpu": _CPU_NO_FLOAT16,
    },
    "O2": {
        "torch_npu_1": _apex("O2"),
        "torch_npu_2": _NPU_AUTOCAST,
        "torch_gpu": _GPU_AUTOCAST,
        "torch_cpu": _CPU_NO_FLOAT16,
        "tf_npu": _TF_NPU_MIXED,
        "tf_gpu": _TF_GPU_MIXED,
        "tf_cpu": _CPU_NO_FLOAT16,
    },
    "force_fp16": {
        "torch_npu_1": _NPU_NO_FORCE_FP16,
        "torch_npu_2": _NPU_NO_FORCE_FP16,
        "torch_gpu": Way(
            "float16 weights",
            "float16 weights by model.half()",
            half_weights=True,
            policy="static",
            scale=STATIC_SCALE_OF_HALF_WEIGHTS,
            scaler="loss scale",
        ),
        "torch_cpu": _CPU_NO_FLOAT16,
        "tf_npu": _tf_npu("force_fp16", "float16", scaled=True),
        "tf_gpu": _TF_GPU_NO_HALF,
        "tf_cpu": _CPU_NO_FLOAT16,
    },
}


# --- resolving -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Precision:
    """A mode as it is done on one device.

    Attributes:
        requested, name: what the user wrote, and the mode's canonical name.
        arithmetic: what the numbers are, for records: "float16 autocast".
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
    """

    requested: str
    name: str
    framework: str
    device_kind: str
    arithmetic: str
    means: str
    autocast_dtype: Optional[str]
    half_weights: bool
    loss_scale_policy: str
    loss_scale: Optional[float]
    scaler: Optional[str]
    npu_precision_mode: Optional[str]
    apex_opt_level: Optional[str]
    tf32: bool

    @property
    def implementation(self) -> str:
        """What does it, in words: "torch autocast float16 + dynamic GradScaler"."""
        if self.loss_scale_policy == "none":
            return self.means
        if self.loss_scale_policy == "dynamic":
            return f"{self.means} + dynamic {self.scaler}"
        warning = "never checked" if self.apex_opt_level else "checked"
        return f"{self.means} + static {self.scaler} {self.loss_scale or 0:g}, overflow {warning}"

    def as_record(self) -> Dict[str, str]:
        """The `precision` part of a run's start event and record."""
        scale = self.loss_scale_policy
        if scale == "static":
            scale = f"static {self.loss_scale or 0:g}"
        return {"mode": self.requested, "arithmetic": self.means, "loss_scale": scale}


def resolve(mode: str, framework: str, device_kind: str, capabilities: Capabilities) -> Precision:
    """What `mode` is on this device, never something else.

    Args:
        mode: any name or alias of MODES.
        framework: "torch" or "tensorflow".
        device_kind: "npu", "gpu" or "cpu".
        capabilities: what framework and device can do.

    Raises:
        UsageError: no such mode, or impossible here; names the nearest possible mode.
    """
    name = canonical_name(mode)
    cell = TABLE[name][_column_key(framework, device_kind, capabilities.framework_version)]
    obstacle = _obstacle(cell, capabilities)
    if obstacle is None and isinstance(cell, Way):
        return _precision(mode, name, framework, device_kind, cell)
    nearest = _nearest(cell.nearest, framework, device_kind, capabilities)
    raise UsageError(
        f"--precision_mode {mode} is impossible on "
        f"{_device_text(device_kind, framework, capabilities)}: {obstacle}; the nearest "
        f"possible mode is {nearest}"
    )


def canonical_name(mode: str) -> str:
    """The canonical name of a mode or alias; UsageError lists the names where it is neither."""
    if mode not in CANONICAL:
        raise UsageError(
            "--precision_mode {!r} is unknown; there are: {}".format(mode, ", ".join(CANONICAL))
        )
    return CANONICAL[mode]


def default_mode(card_defaults: Mapping[str, str], device_kind: str) -> str:
    """The mode a model card names for this kind of device; float32 where it names none."""
    return card_defaults.get(device_kind, _KEEP)


def with_loss_scale(precision: Precision, text: str) -> Precision:
    """The precision with its loss scale replaced by a number (at least 1), "dynamic" or "none".

    Raises:
        UsageError: none of these, or nothing is scaled in this mode.
    """
    if text == "none":
        return replace(precision, loss_scale_policy="none", loss_scale=None)
    if precision.scaler is None:
        raise UsageError(
            f"--loss_scale {text} would change nothing: --precision_mode "
            f"{precision.requested} on {precision.device_kind} is {precision.arithmetic} "
            "and scales no loss; leave --loss_scale out"
        )
    if text == "dynamic":
        return replace(precision, loss_scale_policy="dynamic", loss_scale=INITIAL_DYNAMIC_SCALE)
    return replace(precision, loss_scale_policy="static", loss_scale=_scale_number(text))


def _scale_number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= SMALLEST_LOSS_SCALE):
        raise UsageError(
            f"--loss_scale expects a number of at least 1, dynamic or none, not {text!r}"
        )
    return value


def _column_key(framework: str, device_kind: str, version: str) -> str:
    numbers = version_numbers(version)
    for key, column in COLUMNS.items():
        if (column.framework, column.device_kind) == (
            framework,
            device_kind,
        ) and column.first <= numbers < column.before:
            return key
    raise UsageError(
        f"no precision mode is known for {framework} {version} on {device_kind}; see {PAGE}"
    )


def _obstacle(cell: Union[Way, Impossible], capabilities: Capabilities) -> Optional[str]:
    if isinstance(cell, Impossible):
        return cell.reason
    missing = [need for need in cell.needs if not REQUIREMENTS[need].holds(capabilities)]
    return REQUIREMENTS[missing[0]].obstacle if missing else None


def _nearest(
    candidates: Sequence[str], framework: str, device_kind: str, capabilities: Capabilities
) -> str:
    key = _column_key(framework, device_kind, capabilities.framework_version)
    for name in candidates:
        if _obstacle(TABLE[name][key], capabilities) is None:
            return name
    return _KEEP


def _precision(requested: str, name: str, framework: str, device_kind: str, way: Way) -> Precision:
    return Precision(
        requested=requested,
        name=name,
        framework=framework,
        device_kind=device_kind,
        arithmetic=way.arithmetic,
        means=way.means,
        autocast_dtype=way.autocast_dtype,
        half_weights=way.half_weights,
        loss_scale_policy=way.policy,
        loss_scale=way.scale,
        scaler=way.scaler,
        npu_precision_mode=way.npu_precision_mode,
        apex_opt_level=way.apex_opt_level,
        tf32=way.tf32,
    )


def _device_text(device_kind: str, framework: str, capabilities: Capabilities) -> str:
    parts = [device_kind]
    if capabilities.device_name:
        parts.append(f"({capabilities.device_name})")
    return "{} with {} {}".format(" ".join(parts), framework, capabilities.framework_version)


# --- the page --------------------------------------------------------------------------------

_INTRODUCTION = """# Precision

<!-- generated from its table: python -m common.machine.precision --write -->

`--precision_mode` takes one vocabulary on every device: the names of TensorFlow 1.15 on Ascend
(both generations of them) and those of apex. What can't be done on a device is refused with the
nearest mode that can; nothing falls back silently. A mode is always set: on an Ascend 910A
"nothing set" would mean float16 convolutions, on a GPU TF32 convolutions.
"""

_NOTES = """## Loss scale

`--loss_scale` takes a number (at least 1) or `dynamic` where the mode has a scaler; elsewhere it
would change nothing and is refused. `none` scales nothing, in any mode: small gradients may then
vanish in float16. A dynamic scale starts at 65536, halves after an overflow and doubles after 2000
steps without one. A static scale is checked too: a step whose gradients overflow
is skipped and counted. The exception is apex, which never checks a static scale: an infinite
gradient reaches the weights there, so `dynamic` is the default. `allow_fp32_to_fp16` on an NPU
scales nothing by default, and does with `--loss_scale`.

## Why so

- **TF32 for `force_fp32`.** The mode allows matrix operations inputs of reduced precision with
  float32 results. TF32 reads inputs with the 10 bits of mantissa that float16 has, keeps float32's
  range, and adds in float32. GPUs without TF32, and CPUs, have no such kernels: the mode's own rule
  is then plain float32.
- **TF32 off elsewhere.** torch leaves it on for convolutions; float32 here means float32. HF32, its
  counterpart on Ascend A2 and later, is off likewise: for TensorFlow by ENABLE_HF32_EXECUTION=0,
  which is set unless you set it, and told in the record.
- **O2 outside apex is autocast.** Both keep float32 weights for the optimizer and batch
  normalisation in float32. They differ in which activations are stored as float16.
- **apex O3** is refused on an NPU with torch: Ascend supports O1 and O2.
- **npu_bridge gets the first generation's names** (`precision_mode`), for every release of it knows
  them; the names of `precision_mode_v2` are aliases here. Both at once would be an error of CANN.
  `force_fp32` may read float16 inputs where the chip has no float32 matrix kernels (910A).
- **`fp32` is `must_keep_origin_dtype`**, never "unset". Where an early CANN of the 910A has no
  float32 kernel for an operation, that runs on AICPU or fails; `force_fp32` is then the nearest.
- **What is counted.** A record has the mode as it was asked for, the arithmetic it was on this
  device and the policy of the loss scale (`none`, `static …`, `dynamic …`);
  `health.loss_scale_skips` counts the steps that overflow made be skipped, on every device. With a
  static scale under apex nothing is checked, so nothing is counted.
- **TensorFlow's graph rewrite** casts by TensorFlow's own lists: convolutions and matrix products
  (their gradients included) in 16 bits, sums over many elements and the weights in float32. In
  float16 the loss is scaled; bfloat16 has float32's range and needs no scale. The gradients of
  biases, which a processor would sum in bfloat16, are kept in float32 as well.
- **TensorFlow 1.15 on a CPU** computes in float32 only.
"""


def page() -> str:
    """docs/precision.md, from the tables above."""
    return "\n".join(
        [
            _INTRODUCTION,
            "## Names",
            "",
            *_names_table(),
            "",
            "## What each is",
            "",
            *_ways_table(),
            "",
            _NOTES,
        ]
    )


def _names_table() -> List[str]:
    rows = ["| mode | also | asks for |", "|---|---|---|"]
    for mode in MODES:
        aliases = ", ".join(f"`{alias}`" for alias in mode.aliases) or "–"
        rows.append(f"| `{mode.name}` | {aliases} | {mode.meaning} |")
    return rows


def _ways_table() -> List[str]:
    titles = [column.title for column in COLUMNS.values()]
    rows = ["| mode | {} |".format(" | ".join(titles)), "|---" * (len(titles) + 1) + "|"]
    for mode in MODES:
        cells = [_cell_text(mode.name, key) for key in COLUMNS]
        rows.append("| `{}` | {} |".format(mode.name, " | ".join(cells)))
    return rows


def _cell_text(name: str, key: str) -> str:
    cell = TABLE[name][key]
    nearest = " or ".join(f"`{other}`" for other in cell.nearest)
    if isinstance(cell, Impossible):
        return f"impossible: {cell.reason}; nearest {nearest}"
    column = COLUMNS[key]
    text = _precision(name, name, column.framework, column.device_kind, cell).implementation
    needs = " and ".join(REQUIREMENTS[need].where for need in cell.needs)
    return text if not needs else f"{text} (with {needs}; else nearest {nearest})"


def main(argv: Optional[Sequence[str]] = None) -> int:
    """`python -m common.machine.precision --write|--check`: writes or checks docs/precision.md."""
    from pathlib import Path

    from common.core.command_line import Parser
    from common.core.files import write_atomically

    parser = Parser(prog="python -m common.machine.precision", description=main.__doc__)
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--write", action="store_true", help="write the page")
    choice.add_argument("--check", action="store_true", help="fail where it differs")
    arguments = parser.parse_args(None if argv is None else list(argv))
    path = Path(__file__).resolve().parents[2] / PAGE
    if arguments.write:
        write_atomically(path, page())
        return 0
    if not path.is_file() or path.read_text(encoding="utf-8") != page():
        raise ZooError(
            f"{PAGE} differs from common/machine/precision.py; run python -m "
            "common.machine.precision --write"
        )
    return 0


if __name__ == "__main__":
    from common.core.command_line import run_program

    run_program(main, sys.argv[1:])
