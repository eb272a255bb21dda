"""The runtime adapter for PyTorch: the only module that knows torch's devices."""

from __future__ import annotations

import contextlib
import ctypes
import datetime
import inspect
import os
import random
import re
import resource
from dataclasses import dataclass
from typing import (
    Any,
    Callable,
    ContextManager,
    Dict,
    Iterable,
    List,
    Mapping,
    Optional,
    Union,
)

from common.command_line import end_at_once
from common.devices import (
    OpenedDevice,
    cann_version,
    cpu_name,
    gpu_driver,
    npu_driver,
    npu_name,
)
from common.errors import InfrastructureError, UsageError, ZooError
from common.precision import Capabilities, Precision
from common.versions import version_numbers

BACKENDS = {"npu": "hccl", "gpu": "nccl", "cpu": "gloo"}
TORCH_NAMES = {"npu": "npu", "gpu": "cuda", "cpu": "cpu"}
RENDEZVOUS_SECONDS = 1800.0
GROWTH_INTERVAL = 2000
GROWTH_FACTOR = 2.0
BACKOFF_FACTOR = 0.5
_NPU_WITH_BFLOAT16 = re.compile(r"910B[1-9]|910_93")
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
        torch_npu = _usable_torch_npu(torch)
        name = _npu_name(torch_npu, index)
        return Capabilities(version, name, bfloat16=bool(_NPU_WITH_BFLOAT16.search(name)),
                            ascend_apex=_ascend_apex_is_installed())
    if kind == "gpu":
        _check_cuda(torch)
        major = torch.cuda.get_device_capability(index)[0]
        # Compute capability 8 (Ampere) brought both bfloat16 and TF32.
        return Capabilities(version, torch.cuda.get_device_name(index),
                            bfloat16=major >= 8, tf32=major >= 8)
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
        raise ValueError("a precision for {} on {}".format(precision.device_kind, kind))
    return {"npu": _open_npu, "gpu": _open_gpu, "cpu": _open_cpu}[kind](index, precision)


def _open_cpu(index: int, precision: Precision) -> TorchDevice:
    import torch

    keep_freed_memory()
    return TorchDevice("cpu", 0, torch.device("cpu"), cpu_name(), 1, "",
                       "{} threads".format(torch.get_num_threads()), _framework(torch))


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
    runtime = "CUDA {} cuDNN {}".format(torch.version.cuda, torch.backends.cudnn.version())
    return TorchDevice("gpu", index, _device_object(torch, "gpu", index),
                       torch.cuda.get_device_name(index), count, gpu_driver(), runtime,
                       _framework(torch))


def _open_npu(index: int, precision: Precision) -> TorchDevice:
    import torch

    torch_npu = _usable_torch_npu(torch)
    count = torch_npu.npu.device_count()
    _check_index("npu", index, count)
    torch_npu.npu.set_device(index)
    # Unset, an Ascend 910A would compute float32 convolutions in float16.
    torch_npu.npu.set_option({"ACL_PRECISION_MODE": str(precision.npu_precision_mode)})
    if version_numbers(torch.__version__) >= (2,):
        torch_npu.npu.conv.allow_hf32 = precision.tf32
        torch_npu.npu.matmul.allow_hf32 = precision.tf32
    framework = "{} torch_npu {}".format(_framework(torch), torch_npu.__version__)
    return TorchDevice("npu", index, _device_object(torch, "npu", index),
                       _npu_name(torch_npu, index), count, npu_driver(),
                       "CANN {}".format(cann_version() or "of unknown version"), framework)


def _device_object(torch: Any, kind: str, index: int) -> Any:
    return torch.device("{}:{}".format(TORCH_NAMES[kind], index))


def _framework(torch: Any) -> str:
    return "torch {}".format(torch.__version__)


def _check_index(kind: str, index: int, count: int) -> None:
    if not 0 <= index < count:
        raise UsageError("--device_id {}: torch sees {} {} device{} here; give one from 0 to {}"
                         .format(index, count, kind, "s" * (count != 1), count - 1))


def _check_cuda(torch: Any) -> None:
    if torch.cuda.is_available():
        return
    if torch.version.cuda is None:
        raise ZooError("--device gpu: torch {} is built without CUDA; install a CUDA build of it, "
                       "or give --device cpu".format(torch.__version__))
    raise ZooError("--device gpu: torch {} finds no GPU it can use; see nvidia-smi and "
                   "CUDA_VISIBLE_DEVICES, or give --device cpu".format(torch.__version__))


def _usable_torch_npu(torch: Any) -> Any:
    torch_npu = _import_torch_npu(torch)
    if not torch_npu.npu.is_available():
        raise ZooError("--device npu: torch_npu {} finds no NPU it can use; see npu-smi info and "
                       "ASCEND_RT_VISIBLE_DEVICES, or give --device cpu".format(
                           torch_npu.__version__))
    return torch_npu


def _import_torch_npu(torch: Any) -> Any:
    release = str(torch.__version__).split("+")[0]
    try:
        import torch_npu
    except ModuleNotFoundError:
        raise ZooError("--device npu needs torch_npu, which is not installed: install CANN, then "
                       "the torch_npu made for torch {} (pip install 'torch_npu=={}.*')".format(
                           torch.__version__, release)) from None
    except (ImportError, OSError) as error:
        raise ZooError("--device npu: torch_npu does not load ({}); source CANN's set_env.sh and "
                       "check that torch_npu is the one made for torch {}".format(
                           error, torch.__version__)) from error
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
        raise ZooError("{} of {} parameter tensors are on {}, not on the asked-for {}; this is an "
                       "error of the program".format(len(strays), len(parameters),
                                                     strays[0].device, device.kind))
    text = "{} parameter tensors on {} ({})".format(
        len(parameters), parameters[0].device if parameters else device.device, device.name)
    module = _device_module(device)
    if module is None:
        return text
    return "{}, {:.0f} MB allocated there".format(
        text, module.memory_allocated() / _BYTES_PER_MB)


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


# --- process groups --------------------------------------------------------------------------


def backend_for(kind: str) -> str:
    """The torch.distributed backend of a kind of device: hccl, nccl or gloo."""
    return BACKENDS[kind]


def init_process_group(device: TorchDevice, rank: int, world_size: int,
                       init_method: str = "env://",
                       timeout_seconds: float = RENDEZVOUS_SECONDS) -> None:
    """Joins the job's ranks; call after open_device and before any stepper is made.

    Args:
        init_method: "env://" (MASTER_ADDR and MASTER_PORT) or "tcp://host:port".
        timeout_seconds: how long to wait for the other ranks, and for each collective.

    Raises:
        InfrastructureError: the port is in use, or the other ranks did not come.
    """
    import torch.distributed as distributed

    arguments: Dict[str, Any] = {
        "backend": backend_for(device.kind), "init_method": init_method, "rank": rank,
        "world_size": world_size, "timeout": datetime.timedelta(seconds=timeout_seconds)}
    if device.kind == "gpu" and _torch_version() >= (2, 3):
        arguments["device_id"] = device.device
    try:
        distributed.init_process_group(**arguments)
    except (RuntimeError, ValueError, OSError) as error:
        raise _rendezvous_error(error, init_method, rank, world_size, timeout_seconds) from error


def _rendezvous_error(error: Exception, init_method: str, rank: int, world_size: int,
                      timeout_seconds: float) -> ZooError:
    text = " ".join(str(error).split())
    address, port = _rendezvous_address(init_method)
    if re.search(r"EADDRINUSE|address already in use", text, re.IGNORECASE):
        return InfrastructureError("port {} of {} is in use by another program; give another "
                                   "--master_port".format(port, address))
    if re.search(r"time[d ]*\s?out", text, re.IGNORECASE):
        return InfrastructureError(
            "rank {} of {} did not meet all the others at {} port {} within {:g} s; see the other "
            "ranks' logs, --master_addr and --master_port".format(
                rank, world_size, address, port, timeout_seconds))
    return InfrastructureError("rank {} of {} could not join at {} port {}: {}; see --master_addr "
                               "and --master_port".format(rank, world_size, address, port, text))


def _rendezvous_address(init_method: str) -> List[str]:
    match = re.match(r"tcp://(.+):(\d+)", init_method)
    if match:
        return [match.group(1), match.group(2)]
    return [os.environ.get("MASTER_ADDR", "(no MASTER_ADDR)"),
            os.environ.get("MASTER_PORT", "(no MASTER_PORT)")]


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
    return {"python": [version, list(internal), gauss],
            "numpy": [str(name), [int(key) for key in keys], int(position), int(has_gauss),
                      float(cached)],
            "torch": torch.get_rng_state(),
            "device": _device_rng_state(module)}


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
    numpy.random.set_state((name, numpy.array(keys, dtype=numpy.uint32), position, has_gauss,
                            cached))
    torch.set_rng_state(state["torch"].cpu())
    module = _device_module(device)
    if hasattr(module, "set_rng_state") and state["device"] is not None:
        module.set_rng_state(state["device"].cpu())


# --- optimizer -------------------------------------------------------------------------------


def make_sgd(device: TorchDevice, precision: Precision,
             parameters: Iterable[Union[Any, Mapping[str, Any]]], lr: float,
             momentum: float = 0.0, weight_decay: float = 0.0, nesterov: bool = False) -> Any:
    """SGD in the fastest form the device has; the same formula in every one of them.

    Args:
        parameters: tensors or parameter groups of a model that is already on the device.
    """
    arguments: Dict[str, Any] = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay,
                                 "nesterov": nesterov}
    if device.kind == "npu":
        return _npu_sgd_class(precision)(list(parameters), **arguments)
    import torch

    if _torch_version() >= (2, 4):
        arguments["fused"] = True
    return torch.optim.SGD(list(parameters), **arguments)


def _npu_sgd_class(precision: Precision) -> Any:
    """apex's fused class where apex steps it, torch_npu's where it has one, else torch's own."""
    import torch

    if precision.apex_opt_level is not None:
        import apex.optimizers

        return apex.optimizers.NpuFusedSGD
    try:
        import torch_npu.optim
    except ImportError:
        return torch.optim.SGD
    return getattr(torch_npu.optim, "NpuFusedSGD", torch.optim.SGD)


def _is_npu_fused(optimizer: Any) -> bool:
    return type(optimizer).__name__.startswith("NpuFused")


# --- steps -----------------------------------------------------------------------------------


class StepHealth:
    """What became of one step: whether overflow made it be skipped, and its loss scale.

    The scale may still be on the device: reading it waits for the device. Keep the object and read
    it at the next log point.
    """

    __slots__ = ("_after", "_before")

    def __init__(self, before: Any = 1.0, after: Any = 1.0) -> None:
        self._before, self._after = before, after

    @property
    def loss_scale(self) -> float:
        """What the loss was multiplied by; 1 where nothing is scaled."""
        return float(self._before)

    @property
    def skipped(self) -> bool:
        """Whether the weights stayed as they were: the scale shrinks in exactly that case."""
        return float(self._after) < float(self._before)


LookAtGradients = Callable[[List[Any]], None]


class Stepper:
    """Does a training step in the order its device and precision need; made by make_stepper.

    Attributes:
        model: what to call in the forward pass (wrapped for many ranks).
        module: the network itself, for checkpoints and evaluation.
        optimizer: the optimizer that steps.
    """

    def __init__(self, model: Any, module: Any, optimizer: Any, device: TorchDevice,
                 precision: Precision, scaling: _Scaling) -> None:
        self.model, self.module, self.optimizer = model, module, optimizer
        self._device, self._precision, self._scaling = device, precision, scaling

    def forward_context(self) -> ContextManager[Any]:
        """The context of the forward pass and the loss: autocast, or nothing."""
        return forward_context(self._device, self._precision)

    def zero_grad(self) -> None:
        """Drops the gradients; Ascend's fused and apex's optimizers keep their buffers."""
        if not (_is_npu_fused(self.optimizer) or self._precision.apex_opt_level is not None):
            self.optimizer.zero_grad(set_to_none=True)
        elif self._has_gradients():
            # Before there are any, a fused optimizer would leave every weight out for good.
            self.optimizer.zero_grad()

    def _has_gradients(self) -> bool:
        return any(weight.grad is not None for weight in self.module.parameters())

    def step(self, loss: Any, look: Optional[LookAtGradients] = None) -> StepHealth:
        """Backward pass, clipping where asked for, optimizer step; loss is a scalar tensor.

        Args:
            look: called with the optimizer's parameters, in the order they were given to it, when
                their gradients are averaged over ranks and unscaled, but not clipped. Where a loss
                scale overflowed it may not be called.
        """
        return self._scaling.step(loss, look)

    def optimizer_state(self) -> Dict[str, Any]:
        """The optimizer's state, for checkpoints."""
        return self._scaling.optimizer_state()

    def load_optimizer_state(self, state: Mapping[str, Any]) -> None:
        """Restores the optimizer; call before the first step."""
        self._scaling.load_optimizer_state(state)

    def state_dict(self) -> Dict[str, Any]:
        """The state of the loss scale (with apex also the float32 weights), for checkpoints."""
        return {"scaling": self._scaling.name, "state": self._scaling.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores the loss scale; ZooError where the checkpoint scaled in another way."""
        if state["scaling"] != self._scaling.name:
            raise ZooError("the checkpoint's loss scale is of kind {!r}, this run's {!r}; resume "
                           "with the --precision_mode and --loss_scale it was trained with".format(
                               state["scaling"], self._scaling.name))
        self._scaling.load_state_dict(state["state"])


def make_stepper(model: Any, optimizer: Any, device: TorchDevice, precision: Precision,
                 world_size: int = 1, max_gradient_norm: Optional[float] = None) -> Stepper:
    """Prepares model and optimizer for training, in the order every device needs.

    The order is: open_device, init_process_group, place_model, make_sgd, make_stepper (which wraps
    for apex and then for many ranks). Load checkpoints of model and optimizer before the first
    step: Ascend's fused optimizers flatten the tensors there.

    Args:
        model: on the device, in float32 (or cast by place_model).
        optimizer: over that model's parameters.
        world_size: ranks in the job; more than one needs the process group.
        max_gradient_norm: clips the gradients' global norm after unscaling; None leaves them.
    """
    if world_size > 1:
        _check_process_group()
    if precision.apex_opt_level is not None:
        from apex import amp

        model, optimizer = amp.initialize(model, optimizer, opt_level=precision.apex_opt_level,
                                          loss_scale=_apex_loss_scale(precision))
    clip = _Clip(optimizer, precision, max_gradient_norm)
    scaling = _scaling_for(optimizer, device, precision, clip)
    wrapped = _distributed(model, device) if world_size > 1 else model
    return Stepper(wrapped, model, optimizer, device, precision, scaling)


def prepare_evaluation(model: Any, precision: Precision) -> Any:
    """Readies a network that is only evaluated, on its device with its weights; returns it.

    Where apex does the arithmetic, apex casts; a stepper's network is ready already.
    """
    if precision.apex_opt_level is None:
        return model
    from apex import amp

    return amp.initialize(model, opt_level=precision.apex_opt_level)


def forward_context(device: TorchDevice, precision: Precision) -> ContextManager[Any]:
    """The context of a forward pass in this precision, for training and evaluation alike."""
    import torch

    if precision.autocast_dtype is None:
        return contextlib.nullcontext()
    dtype = getattr(torch, precision.autocast_dtype)
    if device.kind == "npu":
        autocast = _import_torch_npu(torch).npu.amp.autocast
        context = autocast(dtype=dtype) if _torch_version() >= (1, 11) else autocast()
    elif _torch_version() >= (1, 10):
        context = torch.autocast(TORCH_NAMES[device.kind], dtype=dtype)
    else:
        context = torch.cuda.amp.autocast()
    return context  # type: ignore[no-any-return]


def _check_process_group() -> None:
    import torch.distributed as distributed

    # Later, apex and torch_npu's scaler would not share the overflow flag between ranks.
    if not distributed.is_initialized():
        raise ValueError("init_process_group comes before make_stepper where there are many ranks")


def _distributed(model: Any, device: TorchDevice) -> Any:
    from torch.nn.parallel import DistributedDataParallel

    # Broadcasting buffers in every forward pass costs time; evaluation averages them instead.
    accepted = inspect.signature(DistributedDataParallel).parameters
    name = "forward_sync_buffers" if "forward_sync_buffers" in accepted else "broadcast_buffers"
    arguments: Dict[str, Any] = {name: False}
    if device.kind != "cpu":
        arguments["device_ids"] = [device.index]
    if device.kind != "npu" and _torch_version() >= (2,):
        arguments["gradient_as_bucket_view"] = True
    return DistributedDataParallel(model, **arguments)


def _torch_version() -> Any:
    import torch

    return version_numbers(str(torch.__version__))


# --- gradient clipping -----------------------------------------------------------------------


class _Clip:
    """Clips unscaled gradients by their global norm, in the way the optimizer allows."""

    def __init__(self, optimizer: Any, precision: Precision, max_norm: Optional[float]) -> None:
        self._optimizer, self._precision, self._max_norm = optimizer, precision, max_norm
        self.look: Optional[LookAtGradients] = None

    @property
    def wanted(self) -> bool:
        """Whether anyone needs the gradients unscaled before the optimizer's step."""
        return self._max_norm is not None or self.look is not None

    def __call__(self) -> None:
        apex = self._precision.apex_opt_level is not None
        if self.look is not None:
            self.look(list(self._parameters(apex)))
        if self._max_norm is None:
            return
        if _is_npu_fused(self._optimizer):
            name = "clip_optimizer_grad_norm_fused" if apex else "clip_grad_norm_fused_"
            getattr(self._optimizer, name)(self._max_norm, 2.0)  # torch_npu has no default
            return
        import torch

        torch.nn.utils.clip_grad_norm_(list(self._parameters(apex)), self._max_norm)

    def _parameters(self, apex: bool) -> Iterable[Any]:
        if apex:
            from apex import amp

            return amp.master_params(self._optimizer)  # type: ignore[no-any-return]
        return _parameters_of(self._optimizer)


def _parameters_of(optimizer: Any) -> List[Any]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


# --- loss scaling ----------------------------------------------------------------------------


class _Scaling:
    """Backward pass and optimizer step without a loss scale; the others derive from it."""

    name = "none"

    def __init__(self, optimizer: Any, clip: _Clip) -> None:
        self._optimizer, self._clip = optimizer, clip

    def step(self, loss: Any, look: Optional[LookAtGradients] = None) -> StepHealth:
        """One step; see Stepper.step."""
        self._clip.look = look
        return self._do(loss)

    def _do(self, loss: Any) -> StepHealth:
        loss.backward()
        self._clip()
        self._optimizer.step()
        return StepHealth()

    def optimizer_state(self) -> Dict[str, Any]:
        return dict(self._optimizer.state_dict())

    def load_optimizer_state(self, state: Mapping[str, Any]) -> None:
        self._optimizer.load_state_dict(dict(state))

    def state_dict(self) -> Dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass


class _GradScalerScaling(_Scaling):
    """A GradScaler of torch or torch_npu; both check and skip, with a static scale too."""

    name = "grad_scaler"

    def __init__(self, optimizer: Any, clip: _Clip, scaler: Any, static_scale: Optional[float],
                 one: Any) -> None:
        """`one`: a tensor 1 on the device to read the scale with, None to read it as a number."""
        super().__init__(optimizer, clip)
        self._scaler, self._static_scale, self._one = scaler, static_scale, one

    def _do(self, loss: Any) -> StepHealth:
        self._scaler.scale(loss).backward()
        before = self._scale()
        if self._clip.wanted:
            self._scaler.unscale_(self._optimizer)
            self._clip()
        self._scaler.step(self._optimizer)
        self._scaler.update()
        after = self._scale()
        if self._static_scale is not None:
            # The scaler's own "static" never checks: let it check, then undo its new scale.
            self._scaler.update(self._static_scale)
        return StepHealth(before, after)

    def _scale(self) -> Any:
        """The scale, left on the device where that spares waiting for it."""
        return self._scaler.get_scale() if self._one is None else self._scaler.scale(self._one)

    def state_dict(self) -> Dict[str, Any]:
        return dict(self._scaler.state_dict())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._scaler.load_state_dict(dict(state))


class _ApexScaling(_Scaling):
    """Ascend apex's loss scale; a static one is never checked for overflow.

    O2 makes its float32 weights on entering the first scale_loss, out of float16 ones, so what a
    checkpoint has of them and of the optimizer takes its place there.
    """

    name = "apex"

    def __init__(self, optimizer: Any, clip: _Clip) -> None:
        super().__init__(optimizer, clip)
        self._coming_weights: List[Any] = []
        self._coming_optimizer: Optional[Dict[str, Any]] = None
        self._stepped = False

    def _do(self, loss: Any) -> StepHealth:
        from apex import amp

        before = self._scale()
        with amp.scale_loss(loss, self._optimizer) as scaled:
            self._take_over()
            scaled.backward()
        self._clip()
        self._optimizer.step()
        self._stepped = True
        return StepHealth(before, self._scale())

    def _scale(self) -> float:
        from apex import amp

        return float(amp.state_dict()["loss_scaler0"]["loss_scale"])

    def _take_over(self) -> None:
        for weight, stored in zip(self._float32_weights(), self._coming_weights):
            weight.data.copy_(stored)
        if self._coming_optimizer is not None:
            rates = [group["lr"] for group in self._optimizer.param_groups]
            self._optimizer.load_state_dict(self._coming_optimizer)
            for group, rate in zip(self._optimizer.param_groups, rates):
                group["lr"] = rate  # the coming step's, set already
        self._coming_weights, self._coming_optimizer = [], None

    def _float32_weights(self) -> List[Any]:
        from apex import amp

        return list(amp.master_params(self._optimizer))

    def optimizer_state(self) -> Dict[str, Any]:
        coming = self._coming_optimizer
        return super().optimizer_state() if coming is None else coming

    def load_optimizer_state(self, state: Mapping[str, Any]) -> None:
        self._coming_optimizer = dict(state)

    def state_dict(self) -> Dict[str, Any]:
        from apex import amp

        weights = [weight.detach().cpu().clone() for weight in self._float32_weights()] \
            if self._stepped else self._coming_weights
        return {"amp": dict(amp.state_dict()), "float32_weights": weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        from apex import amp

        amp.load_state_dict(dict(state["amp"]))
        self._coming_weights = list(state["float32_weights"])


class _HalfWeightScaling(_Scaling):
    """A loss scale for float16 gradients, which torch's GradScaler refuses to unscale."""

    name = "half_weights"

    def __init__(self, optimizer: Any, clip: _Clip, scale: float, dynamic: bool) -> None:
        super().__init__(optimizer, clip)
        self._scale, self._dynamic, self._good_steps = scale, dynamic, 0

    def _do(self, loss: Any) -> StepHealth:
        (loss * self._scale).backward()
        gradients = [parameter.grad for parameter in _parameters_of(self._optimizer)
                     if parameter.grad is not None]
        before, overflow = self._scale, not _all_finite(gradients)
        if not overflow:
            for gradient in gradients:
                gradient.div_(before)
            self._clip()
            self._optimizer.step()
        self._adapt(overflow)
        return StepHealth(before, before * BACKOFF_FACTOR if overflow else before)

    def _adapt(self, overflow: bool) -> None:
        if not self._dynamic:
            return
        self._good_steps = 0 if overflow else self._good_steps + 1
        if overflow:
            self._scale = max(1.0, self._scale * BACKOFF_FACTOR)
        elif self._good_steps == GROWTH_INTERVAL:
            self._scale, self._good_steps = self._scale * GROWTH_FACTOR, 0

    def state_dict(self) -> Dict[str, Any]:
        return {"scale": self._scale, "good_steps": self._good_steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._scale, self._good_steps = float(state["scale"]), int(state["good_steps"])


def _all_finite(gradients: List[Any]) -> bool:
    """One wait for the device in all; ranks agree, their gradients being averaged already."""
    import torch

    if not gradients:
        return True
    return bool(torch.stack([torch.isfinite(gradient).all() for gradient in gradients]).all())


def _scaling_for(optimizer: Any, device: TorchDevice, precision: Precision,
                 clip: _Clip) -> _Scaling:
    if precision.apex_opt_level is not None:
        return _ApexScaling(optimizer, clip)
    if precision.loss_scale_policy == "none":
        return _Scaling(optimizer, clip)
    first = float(precision.loss_scale or 1.0)
    if precision.half_weights:
        return _HalfWeightScaling(optimizer, clip, first, precision.loss_scale_policy == "dynamic")
    static = first if precision.loss_scale_policy == "static" else None
    scaler = _grad_scaler(device.kind, first)
    return _GradScalerScaling(optimizer, clip, scaler, static, _one_on(device))


def _one_on(device: TorchDevice) -> Any:
    """A 1 on a GPU; on an NPU None, for scale() there also clears the overflow flag."""
    import torch

    return torch.ones((), device=device.device) if device.kind == "gpu" else None


def _grad_scaler(kind: str, first_scale: float) -> Any:
    import torch

    arguments: Dict[str, Any] = {
        "init_scale": first_scale, "growth_factor": GROWTH_FACTOR,
        "backoff_factor": BACKOFF_FACTOR, "growth_interval": GROWTH_INTERVAL}
    if kind == "npu":
        # By keyword: torch_npu has `dynamic` before `enabled`; False would check nothing.
        return _import_torch_npu(torch).npu.amp.GradScaler(dynamic=True, **arguments)
    if _torch_version() >= (2, 3):
        return torch.amp.GradScaler(TORCH_NAMES[kind], **arguments)
    return torch.cuda.amp.GradScaler(**arguments)


def _apex_loss_scale(precision: Precision) -> Union[str, float]:
    dynamic = precision.loss_scale_policy == "dynamic"
    return "dynamic" if dynamic else float(precision.loss_scale or 1.0)
