"""The runtime adapter for PyTorch: the only module that knows torch's devices."""

from __future__ import annotations

import ctypes
import datetime
import os
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Tuple

import torch
from torch import distributed

from common.core.command_line import end_at_once
from common.core.errors import ZooError
from common.core.text import version_numbers
from common.machine import devices as machine
from common.machine.devices import OpenedDevice
from common.machine.precision import KEEP, TO_16, Capabilities, Precision
from common.machine.ranks import find_place
from common.training import devices as shared
from common.training.devices import RunDevice

BACKENDS = {"npu": "hccl", "gpu": "nccl", "cpu": "gloo"}
TORCH_NAMES = {"npu": "npu", "gpu": "cuda", "cpu": "cpu"}
FRAMEWORK = f"torch {torch.__version__}"
VERSION = version_numbers(str(torch.__version__))
_BYTES_PER_MB = 1e6
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from malloc.h
_LARGEST_BLOCK = 1 << 30


# --- devices ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class TorchDevice(OpenedDevice):
    """An opened device with its torch.device."""

    device: Any


def choose_run_device(options: Any, default_modes: Mapping[str, str]) -> RunDevice:
    """What a run computes on, by its options; see devices.choose_run_device."""
    return shared.choose_run_device(
        options,
        default_modes,
        "torch",
        "torchrun",
        lambda kind: find_place(os.environ, options.device_id or 0, 1),
        capabilities,
    )


def open_run_device(chosen: RunDevice, seed: int) -> TorchDevice:
    """Opens the device that choose_run_device found, joins its ranks and seeds everything."""
    kind, place, precision = chosen
    device = open_device(kind, place.local_rank, precision)
    if place.world_size > 1:
        init_process_group(device, place.rank, place.world_size)
    seed_everything(seed, device)
    return device


def capabilities(kind: str, index: int = 0) -> Capabilities:
    """What precision.resolve needs to know of a device.

    Raises:
        ZooError: torch can't use that kind of device here; says what to install.
    """
    version = str(torch.__version__)
    if kind == "npu":
        torch_npu, name = _opened_npu(index)
        ask = getattr(torch_npu.npu, "is_bf16_supported", None)  # not in torch 1.8.1's packages
        return Capabilities(
            version,
            name,
            bfloat16=machine.npu_has_bfloat16(name) if ask is None else bool(ask()),
            ascend_apex=_ascend_apex_is_installed(),
        )
    if kind == "gpu":
        _require_gpu(index)
        # Compute capability 8 (Ampere) brought both bfloat16 and TF32.
        newer = torch.cuda.get_device_capability(index)[0] >= 8
        return Capabilities(version, torch.cuda.get_device_name(index), bfloat16=newer, tf32=newer)
    return Capabilities(version, machine.cpu_name(), bfloat16=True)


def open_device(kind: str, index: int, precision: Precision) -> TorchDevice:
    """Makes the device this process's own and sets its arithmetic; call before any tensor is made.

    Args:
        kind: "npu", "gpu" or "cpu".
        index: the logical number of the device on this machine; ignored on a CPU.
        precision: from precision.resolve, for the same kind.

    Raises:
        ZooError: torch can't use that kind of device here; says what to install.
        UsageError: there is no device of that number.
    """
    if precision.device_kind != kind:
        raise ValueError(f"a precision for {precision.device_kind} on {kind}")
    return {"npu": _open_npu, "gpu": _open_gpu, "cpu": _open_cpu}[kind](index, precision)


def _open_cpu(index: int, precision: Precision) -> TorchDevice:
    keep_freed_memory()
    threads = f"{torch.get_num_threads()} threads"
    return TorchDevice("cpu", 0, machine.cpu_name(), "", threads, FRAMEWORK, torch.device("cpu"))


def keep_freed_memory() -> None:
    """Makes glibc reuse large freed blocks in place of asking the kernel for zeroed pages again.

    Training frees and allocates the same activations every step, and page faults cost time. Where
    the C library has no mallopt, nothing happens; MALLOC_* variables of the user win.
    """
    if any(name.startswith("MALLOC_") for name in os.environ):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_BLOCK)
        mallopt(_M_TRIM_THRESHOLD, _LARGEST_BLOCK)


def _require_gpu(index: int) -> None:
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    shared.require_device(
        "gpu", index, there, FRAMEWORK, bool(there) or torch.version.cuda is not None
    )


def _open_gpu(index: int, precision: Precision) -> TorchDevice:
    _require_gpu(index)
    torch.cuda.set_device(index)
    _allow_tf32(precision.tf32)
    torch.backends.cudnn.benchmark = True
    runtime = f"CUDA {torch.version.cuda} cuDNN {torch.backends.cudnn.version()}"
    name, device = torch.cuda.get_device_name(index), _device_object("gpu", index)
    return TorchDevice("gpu", index, name, machine.gpu_driver(), runtime, FRAMEWORK, device)


def _allow_tf32(allowed: bool) -> None:
    if VERSION >= (2, 9):
        value = "tf32" if allowed else "ieee"
        torch.backends.cuda.matmul.fp32_precision = value
        torch.backends.cudnn.conv.fp32_precision = value
        return
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


def _open_npu(index: int, precision: Precision) -> TorchDevice:
    torch_npu, name = _opened_npu(index)
    mode = str(precision.npu_precision_mode)
    if precision.name != TO_16 and machine.npu_has_bfloat16(name):
        mode = KEEP  # these chips' own: below it, what autocast keeps in float32 might not stay so
    # Unset, an Ascend 910A would compute float32 convolutions in float16.
    torch_npu.npu.set_option({"ACL_PRECISION_MODE": mode})
    if VERSION >= (2,):
        torch_npu.npu.conv.allow_hf32 = precision.tf32
        torch_npu.npu.matmul.allow_hf32 = precision.tf32
    runtime = f"CANN {machine.cann_version() or 'of unknown version'}"
    framework = f"{FRAMEWORK} torch_npu {torch_npu.__version__}"
    device = _device_object("npu", index)
    return TorchDevice("npu", index, name, machine.npu_driver(), runtime, framework, device)


def _opened_npu(index: int) -> Tuple[Any, str]:
    """torch_npu with the device made this process's own, and the device's name.

    Any question to torch_npu would open device 0 first.
    """
    torch_npu = _import_torch_npu()
    npu = torch_npu.npu
    there = npu.device_count() if npu.is_available() else 0
    shared.require_device("npu", index, there, f"torch_npu {torch_npu.__version__}")
    npu.set_device(index)
    # torch_npu for torch 1.8.1 can't name its device in every build.
    ask = getattr(npu, "get_device_name", None)
    return torch_npu, str(ask(index)) if ask is not None else machine.npu_name()


def _device_object(kind: str, index: int) -> Any:
    return torch.device(f"{TORCH_NAMES[kind]}:{index}")


def _import_torch_npu() -> Any:
    try:
        import torch_npu
    except (ImportError, OSError) as error:
        advice = "install CANN, then " + machine.torch_npu_remedy(str(torch.__version__))
        raise shared.without_plugin("torch_npu", error, advice) from error
    return torch_npu


def npu_module() -> Any:
    """torch_npu.npu, which both generations of torch_npu have."""
    return _import_torch_npu().npu


def _ascend_apex_is_installed() -> bool:
    try:
        import apex.optimizers
    except (ImportError, OSError):
        return False
    return hasattr(apex.optimizers, "NpuFusedSGD")


def _device_module(device: TorchDevice) -> Any:
    """torch.cuda or torch_npu.npu, None on a CPU."""
    if device.kind == "gpu":
        return torch.cuda
    return npu_module() if device.kind == "npu" else None


def synchronize(device: TorchDevice) -> None:
    """Waits until the device has finished; call before reading a clock."""
    module = _device_module(device)
    if module is not None:
        module.synchronize()


def memory_peak(device: TorchDevice) -> int:
    """The most memory used so far, in bytes: the accelerator's, or on a CPU the process's."""
    module = _device_module(device)
    return shared.process_memory_peak() if module is None else int(module.max_memory_allocated())


def proof(device: TorchDevice, model: Any) -> str:
    """Says on what the model's parameters are, for the record.

    Raises:
        ZooError: a parameter is not on the asked-for device.
    """
    parameters = list(model.parameters())
    # torch_npu maps npu on xla inside torch 1.8.1.
    kinds = {"npu": ("npu", "xla"), "gpu": ("cuda",), "cpu": ("cpu",)}[device.kind]
    strays = [parameter for parameter in parameters if parameter.device.type not in kinds]
    if strays:
        raise ZooError(
            f"{len(strays)} of {len(parameters)} parameter tensors are on {strays[0].device}, not "
            f"on the asked-for {device.kind}; this is an error of the program"
        )
    place = parameters[0].device if parameters else device.device
    text = f"{len(parameters)} parameter tensors on {place} ({device.name})"
    module = _device_module(device)
    if module is None:
        return text
    return f"{text}, {module.memory_allocated() / _BYTES_PER_MB:.0f} MB allocated there"


def channels_last_pays(kind: str) -> bool:
    """Whether convolutional networks are faster in channels_last memory format.

    On an NPU they are not (it has formats of its own); nor on a CPU before torch 1.12, where
    pooling and up-sampling copy back and forth.
    """
    return kind == "gpu" or (kind == "cpu" and VERSION >= (1, 12))


def place_model(model: Any, device: TorchDevice, precision: Precision) -> Any:
    """Moves a float32 model to the device, before its optimizer is made; returns it.

    Where the precision has float16 weights the model is cast, takes float32 batches all the same
    and returns float32.
    """
    model = model.to(device.device)
    if precision.half_weights:
        model = model.half()
        model.register_forward_pre_hook(lambda _, inputs: _cast(inputs, torch.float16))
        model.register_forward_hook(lambda _module, _inputs, outputs: _cast(outputs, torch.float32))
    return model


def _cast(value: Any, dtype: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    if isinstance(value, (tuple, list)):
        return type(value)(_cast(item, dtype) for item in value)
    if isinstance(value, dict):
        return {name: _cast(item, dtype) for name, item in value.items()}
    return value


# --- process groups --------------------------------------------------------------------------


def init_process_group(
    device: TorchDevice,
    rank: int,
    world_size: int,
    init_method: str = "env://",
    timeout_seconds: float = shared.RENDEZVOUS_SECONDS,
) -> None:
    """Joins the job's ranks; call after open_device and before any stepper is made.

    Args:
        init_method: "env://" (MASTER_ADDR and MASTER_PORT) or "tcp://host:port".
        timeout_seconds: how long to wait for the other ranks, and for each collective.

    Raises:
        InfrastructureError: the port is in use, or the other ranks did not come.
    """
    arguments: Dict[str, Any] = {
        "backend": BACKENDS[device.kind],
        "init_method": init_method,
        "rank": rank,
        "world_size": world_size,
        "timeout": datetime.timedelta(seconds=timeout_seconds),
    }
    if device.kind == "gpu" and VERSION >= (2, 3):
        arguments["device_id"] = device.device
    try:
        distributed.init_process_group(**arguments)
    except (RuntimeError, ValueError, OSError) as error:
        address = shared.meeting_address() if init_method == "env://" else init_method
        why = " ".join(str(error).split())
        raise shared.ranks_did_not_meet(rank, world_size, address, why) from error


def leave_process_group() -> None:
    """Leaves the job at the end of the program; does nothing where there is none.

    gloo's threads can abort a process that ends in the usual way (torch 2.13: now and then one of
    eight ranks, after its work was done), so a process with gloo ends at once.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return
    if distributed.get_backend() == "gloo":
        end_at_once("gloo")
    else:
        distributed.destroy_process_group()


# --- random numbers --------------------------------------------------------------------------


def seed_everything(seed: int, device: TorchDevice) -> None:
    """Seeds Python, numpy, torch and the device."""
    shared.seed_python_and_numpy(seed)
    torch.manual_seed(seed)
    module = _device_module(device)
    if module is not None:
        module.manual_seed_all(seed)


def rng_state(device: TorchDevice) -> Dict[str, Any]:
    """The state of torch's random number generators: draws of layers, such as dropout's."""
    # torch_npu for torch 1.8.1 can't tell; nothing here draws on the device there.
    ask = getattr(_device_module(device), "get_rng_state", None)
    return {
        "torch": torch.get_rng_state(),
        "device_kind": device.kind,
        "device": None if ask is None else ask().cpu(),
    }


def set_rng_state(state: Mapping[str, Any], device: TorchDevice) -> None:
    """Restores what rng_state returned; a device state is ignored where the kind has changed."""
    torch.set_rng_state(state["torch"].cpu())
    put = getattr(_device_module(device), "set_rng_state", None)
    same_kind = state.get("device_kind", device.kind) == device.kind
    if put is not None and state["device"] is not None and same_kind:
        put(state["device"].cpu())
