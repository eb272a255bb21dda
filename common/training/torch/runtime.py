"""The runtime adapter for PyTorch: the only module that knows torch's devices."""

from __future__ import annotations

import ctypes
import datetime
import os
import random
import re
import resource
from dataclasses import dataclass
from typing import (
    Any,
    Dict,
    List,
    Mapping,
    Tuple,
)

from common.core.command_line import end_at_once
from common.core.errors import InfrastructureError, UsageError, ZooError
from common.core.text import version_numbers
from common.machine.devices import (
    OpenedDevice,
    cann_version,
    cpu_name,
    gpu_driver,
    npu_driver,
    npu_has_bfloat16,
    npu_name,
    torch_npu_remedy,
)
from common.machine.precision import KEEP, TO_16, Capabilities, Precision

BACKENDS = {"npu": "hccl", "gpu": "nccl", "cpu": "gloo"}
TORCH_NAMES = {"npu": "npu", "gpu": "cuda", "cpu": "cpu"}
RENDEZVOUS_SECONDS = 1800.0
_BYTES_PER_MB = 1e6
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from malloc.h
_LARGEST_BLOCK = 1 << 30


# --- devices ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class TorchDevice(OpenedDevice):
    """An opened device: kind ("npu", "gpu", "cpu"), its torch.device, and what records say of it.

    `count` is how many devices of the kind this process sees; `driver` and `runtime` are versions,
    "" where there is none.
    """

    kind: str
    index: int
    device: Any
    name: str
    count: int
    driver: str
    runtime: str
    framework: str


def capabilities(kind: str, index: int = 0) -> Capabilities:
    """What precision.resolve needs to know of a device.

    Raises:
        ZooError: torch can't use that kind of device here; says what to install.
    """
    import torch

    version = str(torch.__version__)
    if kind == "npu":
        torch_npu, name, _ = _opened_npu(torch, index)
        ask = getattr(torch_npu.npu, "is_bf16_supported", None)  # not in torch 1.8.1's packages
        return Capabilities(
            version,
            name,
            bfloat16=npu_has_bfloat16(name) if ask is None else bool(ask()),
            ascend_apex=_ascend_apex_is_installed(),
        )
    if kind == "gpu":
        _check_cuda(torch)
        major = torch.cuda.get_device_capability(index)[0]
        # Compute capability 8 (Ampere) brought both bfloat16 and TF32.
        return Capabilities(
            version, torch.cuda.get_device_name(index), bfloat16=major >= 8, tf32=major >= 8
        )
    return Capabilities(version, cpu_name(), bfloat16=True)


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
    import torch

    keep_freed_memory()
    return TorchDevice(
        "cpu",
        0,
        torch.device("cpu"),
        cpu_name(),
        1,
        "",
        f"{torch.get_num_threads()} threads",
        _framework(torch),
    )


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


def _open_gpu(index: int, precision: Precision) -> TorchDevice:
    import torch

    _check_cuda(torch)
    count = torch.cuda.device_count()
    _check_index("gpu", index, count)
    torch.cuda.set_device(index)
    _allow_tf32(torch, precision.tf32)
    torch.backends.cudnn.benchmark = True
    runtime = f"CUDA {torch.version.cuda} cuDNN {torch.backends.cudnn.version()}"
    return TorchDevice(
        "gpu",
        index,
        _device_object(torch, "gpu", index),
        torch.cuda.get_device_name(index),
        count,
        gpu_driver(),
        runtime,
        _framework(torch),
    )


def _open_npu(index: int, precision: Precision) -> TorchDevice:
    import torch

    torch_npu, name, count = _opened_npu(torch, index)
    mode = str(precision.npu_precision_mode)
    if precision.name != TO_16 and npu_has_bfloat16(name):
        mode = KEEP  # these chips' own: below it, what autocast keeps in float32 might not stay so
    # Unset, an Ascend 910A would compute float32 convolutions in float16.
    torch_npu.npu.set_option({"ACL_PRECISION_MODE": mode})
    if version_numbers(torch.__version__) >= (2,):
        torch_npu.npu.conv.allow_hf32 = precision.tf32
        torch_npu.npu.matmul.allow_hf32 = precision.tf32
    framework = f"{_framework(torch)} torch_npu {torch_npu.__version__}"
    return TorchDevice(
        "npu",
        index,
        _device_object(torch, "npu", index),
        name,
        count,
        npu_driver(),
        "CANN {}".format(cann_version() or "of unknown version"),
        framework,
    )


def _opened_npu(torch: Any, index: int) -> Tuple[Any, str, int]:
    """torch_npu with the device made this process's own, the device's name, how many there are.

    Any question to torch_npu would open device 0 first.
    """
    torch_npu = _usable_torch_npu(torch)
    count = torch_npu.npu.device_count()
    _check_index("npu", index, count)
    torch_npu.npu.set_device(index)
    return torch_npu, _npu_name(torch_npu, index), count


def _device_object(torch: Any, kind: str, index: int) -> Any:
    return torch.device(f"{TORCH_NAMES[kind]}:{index}")


def _framework(torch: Any) -> str:
    return f"torch {torch.__version__}"


def _check_index(kind: str, index: int, count: int) -> None:
    if not 0 <= index < count:
        raise UsageError(
            "--device_id {}: torch sees {} {} device{} here; give one from 0 to {}".format(
                index, count, kind, "s" * (count != 1), count - 1
            )
        )


def _check_cuda(torch: Any) -> None:
    if torch.cuda.is_available():
        return
    if torch.version.cuda is None:
        raise ZooError(
            f"--device gpu: torch {torch.__version__} is built without CUDA; install a "
            "CUDA build of it, "
            "or give --device cpu"
        )
    raise ZooError(
        f"--device gpu: torch {torch.__version__} finds no GPU it can use; see nvidia-smi and "
        "CUDA_VISIBLE_DEVICES, or give --device cpu"
    )


def _usable_torch_npu(torch: Any) -> Any:
    torch_npu = _import_torch_npu(torch)
    if not torch_npu.npu.is_available():
        raise ZooError(
            f"--device npu: torch_npu {torch_npu.__version__} finds no NPU it can use; "
            "see npu-smi info and "
            "ASCEND_RT_VISIBLE_DEVICES, or give --device cpu"
        )
    return torch_npu


def _import_torch_npu(torch: Any) -> Any:
    try:
        import torch_npu
    except ModuleNotFoundError:
        raise ZooError(
            "--device npu needs torch_npu, which is not installed: install CANN, then "
            + torch_npu_remedy(str(torch.__version__))
        ) from None
    except (ImportError, OSError) as error:
        raise ZooError(
            f"--device npu: torch_npu does not load ({error}); source CANN's set_env.sh and "
            f"check that torch_npu is the one made for torch {torch.__version__}"
        ) from error
    return torch_npu


def _npu_name(torch_npu: Any, index: int) -> str:
    # torch_npu for torch 1.8.1 can't name its device in every build.
    ask = getattr(torch_npu.npu, "get_device_name", None)
    return str(ask(index)) if ask is not None else npu_name()


def _ascend_apex_is_installed() -> bool:
    try:
        import apex.optimizers
    except (ImportError, OSError):
        return False
    return hasattr(apex.optimizers, "NpuFusedSGD")


def _allow_tf32(torch: Any, allowed: bool) -> None:
    if version_numbers(torch.__version__) >= (2, 9):
        value = "tf32" if allowed else "ieee"
        torch.backends.cuda.matmul.fp32_precision = value
        torch.backends.cudnn.conv.fp32_precision = value
        return
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


def synchronize(device: TorchDevice) -> None:
    """Waits until the device has finished; call before reading a clock."""
    module = _device_module(device)
    if module is not None:
        module.synchronize()


def memory_peak(device: TorchDevice) -> int:
    """The most memory used so far, in bytes: the accelerator's, or on a CPU the process's."""
    module = _device_module(device)
    if module is not None:
        return int(module.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


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
            f"{len(strays)} of {len(parameters)} parameter tensors are on "
            f"{strays[0].device}, not on the asked-for {device.kind}; this is an "
            "error of the program"
        )
    text = (
        f"{len(parameters)} parameter tensors on "
        f"{parameters[0].device if parameters else device.device} ({device.name})"
    )
    module = _device_module(device)
    if module is None:
        return text
    return f"{text}, {module.memory_allocated() / _BYTES_PER_MB:.0f} MB allocated there"


def _device_module(device: TorchDevice) -> Any:
    """torch.cuda or torch_npu.npu, None on a CPU."""
    import torch

    if device.kind == "gpu":
        return torch.cuda
    return npu_module() if device.kind == "npu" else None


def npu_module() -> Any:
    """torch_npu.npu, which both generations of torch_npu have."""
    import torch

    return _import_torch_npu(torch).npu


def channels_last_pays(kind: str) -> bool:
    """Whether convolutional networks are faster in channels_last memory format.

    On an NPU they are not (it has formats of its own); nor on a CPU before torch 1.12, where
    pooling and up-sampling copy back and forth.
    """
    import torch

    if kind == "cpu":
        return version_numbers(torch.__version__) >= (1, 12)
    return kind == "gpu"


def place_model(model: Any, device: TorchDevice, precision: Precision) -> Any:
    """Moves a float32 model to the device, before its optimizer is made; returns it.

    Where the precision has float16 weights the model is cast, takes float32 batches all the same
    and returns float32.
    """
    model = model.to(device.device)
    if precision.half_weights:
        model = model.half()
        model.register_forward_pre_hook(lambda _, inputs: _cast(inputs, "float16"))
        model.register_forward_hook(lambda _module, _inputs, outputs: _cast(outputs, "float32"))
    return model


def _cast(value: Any, dtype: str) -> Any:
    import torch

    if isinstance(value, torch.Tensor):
        return value.to(getattr(torch, dtype)) if value.is_floating_point() else value
    if isinstance(value, (tuple, list)):
        return type(value)(_cast(item, dtype) for item in value)
    return value


def torch_version() -> Any:
    """torch's version as numbers."""
    import torch

    return version_numbers(str(torch.__version__))


# --- process groups --------------------------------------------------------------------------


def backend_for(kind: str) -> str:
    """The torch.distributed backend of a kind of device: hccl, nccl or gloo."""
    return BACKENDS[kind]


def init_process_group(
    device: TorchDevice,
    rank: int,
    world_size: int,
    init_method: str = "env://",
    timeout_seconds: float = RENDEZVOUS_SECONDS,
) -> None:
    """Joins the job's ranks; call after open_device and before any stepper is made.

    Args:
        init_method: "env://" (MASTER_ADDR and MASTER_PORT) or "tcp://host:port".
        timeout_seconds: how long to wait for the other ranks, and for each collective.

    Raises:
        InfrastructureError: the port is in use, or the other ranks did not come.
    """
    import torch.distributed as distributed

    arguments: Dict[str, Any] = {
        "backend": backend_for(device.kind),
        "init_method": init_method,
        "rank": rank,
        "world_size": world_size,
        "timeout": datetime.timedelta(seconds=timeout_seconds),
    }
    if device.kind == "gpu" and torch_version() >= (2, 3):
        arguments["device_id"] = device.device
    try:
        distributed.init_process_group(**arguments)
    except (RuntimeError, ValueError, OSError) as error:
        raise _rendezvous_error(error, init_method, rank, world_size, timeout_seconds) from error


def _rendezvous_error(
    error: Exception, init_method: str, rank: int, world_size: int, timeout_seconds: float
) -> ZooError:
    text = " ".join(str(error).split())
    address, port = _rendezvous_address(init_method)
    if re.search(r"EADDRINUSE|address already in use", text, re.IGNORECASE):
        return InfrastructureError(
            f"port {port} of {address} is in use by another program; give another --master_port"
        )
    if re.search(r"time[d ]*\s?out", text, re.IGNORECASE):
        return InfrastructureError(
            f"rank {rank} of {world_size} did not meet all the others at {address} port "
            f"{port} within {timeout_seconds:g} s; see the other "
            "ranks' logs, --master_addr and --master_port"
        )
    return InfrastructureError(
        f"rank {rank} of {world_size} could not join at {address} port {port}: {text}; "
        "see --master_addr "
        "and --master_port"
    )


def _rendezvous_address(init_method: str) -> List[str]:
    match = re.match(r"tcp://(.+):(\d+)", init_method)
    if match:
        return [match.group(1), match.group(2)]
    return [
        os.environ.get("MASTER_ADDR", "(no MASTER_ADDR)"),
        os.environ.get("MASTER_PORT", "(no MASTER_PORT)"),
    ]


def leave_process_group() -> None:
    """Leaves the job at the end of the program; does nothing where there is none.

    gloo's threads can abort a process that ends in the usual way (torch 2.13: now and then one of
    eight ranks, after its work was done), so a process with gloo ends at once.
    """
    import torch.distributed as distributed

    if not (distributed.is_available() and distributed.is_initialized()):
        return
    if distributed.get_backend() == "gloo":
        end_at_once("gloo")
    else:
        distributed.destroy_process_group()


# --- random numbers --------------------------------------------------------------------------


def seed_everything(seed: int, device: TorchDevice) -> None:
    """Seeds Python, numpy, torch and the device."""
    import numpy
    import torch

    random.seed(seed)
    numpy.random.seed(seed % (1 << 32))
    torch.manual_seed(seed)
    module = _device_module(device)
    if module is not None:
        module.manual_seed_all(seed)


def rng_state(device: TorchDevice) -> Dict[str, Any]:
    """The state of all random number generators, as tensors, numbers and lists only."""
    import numpy
    import torch

    version, internal, gauss = random.getstate()
    name, keys, position, has_gauss, cached = numpy.random.get_state()
    module = _device_module(device)
    return {
        "python": [version, list(internal), gauss],
        "numpy": [
            str(name),
            [int(key) for key in keys],
            int(position),
            int(has_gauss),
            float(cached),
        ],
        "torch": torch.get_rng_state(),
        "device_kind": device.kind,
        "device": _device_rng_state(module),
    }


def _device_rng_state(module: Any) -> Any:
    # torch_npu for torch 1.8.1 can't tell; nothing here draws on the device there.
    ask = getattr(module, "get_rng_state", None)
    return None if ask is None else ask().cpu()


def set_rng_state(state: Mapping[str, Any], device: TorchDevice) -> None:
    """Restores what rng_state returned; a device state is ignored where the kind has changed."""
    import numpy
    import torch

    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    numpy.random.set_state(
        (name, numpy.array(keys, dtype=numpy.uint32), position, has_gauss, cached)
    )
    torch.set_rng_state(state["torch"].cpu())
    module = _device_module(device)
    if (
        hasattr(module, "set_rng_state")
        and state["device"] is not None
        and state.get("device_kind", device.kind) == device.kind
    ):
        module.set_rng_state(state["device"].cpu())
