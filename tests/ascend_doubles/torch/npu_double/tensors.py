"""NPU tensors: what may be computed with them, in which arithmetic, and what it compiles."""

import contextlib
import os

import torch
from torch import nn

from npu_double import report
from npu_double.arithmetic import (
    ALLOW_FP16,
    PRECISION,
    GradientReadAsHalf,
    ReadAsHalf,
    ToFloat,
    ToHalf,
    options,
)

_no_dispatch = torch._C.DisableTorchFunction


def words(text):
    """The set of a text's words."""
    return set(text.split())


# What the matrix unit computes.
CUBE = words(
    """
    conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d
    linear matmul mm bmm addmm baddbmm einsum __matmul__ __rmatmul__ addmv mv addbmm chain_matmul
    """
)
NORMS = {"batch_norm", "layer_norm", "group_norm", "instance_norm", "native_batch_norm"}
# What autocast computes in float32.
FLOAT32 = words(
    """
    softmax log_softmax cross_entropy nll_loss mse_loss l1_loss norm smooth_l1_loss
    binary_cross_entropy_with_logits exp log log2 log10 pow __pow__ sum prod cumsum cumprod
    layer_norm rsqrt kl_div
    """
)
# Operations that move or describe float16 values and compute nothing.
MOVES = words(
    """
    __get__ __set__ __getitem__ __setitem__ size dim numel view reshape flatten transpose
    permute contiguous clone detach detach_ expand expand_as squeeze unsqueeze split chunk copy_
    fill_ zero_ requires_grad_ is_contiguous register_hook backward retain_grad item tolist
    data_ptr is_floating_point type to float half double int long new_zeros new_ones new_empty
    new_full zeros_like ones_like empty_like full_like t numpy cpu set_ is_same_size type_as
    get_device is_nonzero __len__ __repr__ __format__ __hash__ __bool__ __deepcopy__
    __reduce_ex__ as_strided resize_ grad_fn _version
    """
)
# CPU tensors among an NPU tensor's operands that are no mistake.
_MAY_MIX = words(
    "copy_ __get__ __set__ __getitem__ __setitem__ index_put_ type_as set_ is_same_size"
)


class State:
    """Where this process stands."""

    device_index = None  # set_device was not called yet
    autocast_dtype = None
    backward_depth = 0
    compiled = set()  # operations with the types and shapes they were compiled for
    make_device = None  # index -> what torch.device("npu:<index>") is


class NpuTensor(torch.Tensor):
    """A tensor on an NPU."""

    @property
    def device(self):
        """npu with its number."""
        return State.make_device(self.__dict__.get("_npu_index", State.device_index or 0))

    def to(self, *arguments, **named):
        """As torch's; a copy where the device changes."""
        device, arguments, named = take_device(arguments, named)
        if named.get("memory_format") is torch.channels_last:
            report.note_once("channels_last", where="tensor")
        arguments = tuple(value for value in arguments if isinstance(value, torch.dtype))
        named.pop("non_blocking", None)
        if device is None or is_npu_device(device):
            return (
                _run(torch._C._TensorBase.to, (self,) + arguments, named)
                if arguments or named
                else self
            )
        named.pop("copy", None)
        with _no_dispatch():
            plain = torch.Tensor.clone(self)
            return (
                torch._C._TensorBase.to(plain, *arguments, **named) if arguments or named else plain
            )

    def cpu(self, *arguments, **named):
        """A copy on the CPU."""
        return self.to("cpu")

    def numpy(self, *arguments, **named):
        """An error, as on every device."""
        raise TypeError("can't convert npu device type tensor to numpy. Use Tensor.cpu() first.")

    def __array__(self, *arguments, **named):
        return self.numpy()

    def __reduce_ex__(self, protocol):
        report.note_once("npu tensor saved")
        return self.cpu().detach().__reduce_ex__(protocol)

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            with _no_dispatch(), torch.no_grad():
                copy = torch.Tensor.clone(self)
            copy.__class__ = type(self)
            memo[id(self)] = copy.requires_grad_(self.requires_grad)
        return memo[id(self)]

    @classmethod
    def __torch_function__(cls, function, types, arguments=(), named=None):
        return _run(function, arguments, dict(named or {}))


class NpuParameter(NpuTensor, nn.Parameter):
    """A parameter of a module that was moved to an NPU."""


def mark(value):
    """Makes a tensor an NPU tensor, in place; returns it.

    Raises:
        RuntimeError: set_device was not called before.
    """
    if State.device_index is None:
        raise RuntimeError("torch.npu.set_device comes before the first NPU tensor of a process")
    kind = type(value)
    if kind is torch.Tensor:
        value.__class__ = NpuTensor
    elif kind is nn.Parameter:
        value.__class__ = NpuParameter
    return value


def is_npu_tensor(value):
    """Whether a value is a tensor on an NPU."""
    return isinstance(value, NpuTensor)


# --- devices in arguments --------------------------------------------------------------------


def device_count():
    """The devices this process may use; ASCEND_DEVICE_ID is not looked at."""
    count = int(os.environ.get("ASCEND_DOUBLE_DEVICES", "8"))
    visible = os.environ.get("ASCEND_RT_VISIBLE_DEVICES", ",".join(map(str, range(count))))
    return len([number for number in visible.split(",") if int(number) < count])


def is_npu_device(device):
    """Whether "npu", "npu:1", torch.device("npu:1") … is meant."""
    if isinstance(device, str):
        return device.split(":")[0] in ("npu", "privateuseone")
    return getattr(device, "type", None) in ("npu", "xla")


def index_of(device):
    """The number in a device; the current one where there is none."""
    text = device if isinstance(device, str) else str(device)
    index = int(text.split(":")[1]) if ":" in text else State.device_index
    if index is not None and not 0 <= index < device_count():
        raise RuntimeError(f"invalid device: {text} of {device_count()}")
    return index


def take_device(arguments, named):
    """(device or None, arguments, named) of a .to() without its device.

    A bare number means the NPU of that number; another tensor means where and what it is.
    """
    named = dict(named)
    device = named.pop("device", None)
    if "other" in named:
        arguments = (named.pop("other"),) + tuple(arguments)
    if device is None and arguments:
        first = arguments[0]
        if isinstance(first, torch.Tensor):
            return first.device, (first.dtype,) + tuple(arguments[1:]), named
        if isinstance(first, int) and not isinstance(first, bool):
            device, arguments = f"npu:{first}", arguments[1:]
        elif isinstance(first, str) or (hasattr(first, "type") and hasattr(first, "index")):
            device, arguments = first, arguments[1:]
        elif first is None:
            arguments = arguments[1:]
    return device, tuple(arguments), named


def put_on_npu(value):
    """A copy of a CPU tensor on the NPU; keeps gradients flowing."""
    with _no_dispatch():
        copy = torch.Tensor.clone(value)
    return mark(copy)


# --- operations ------------------------------------------------------------------------------


def _run(function, arguments, named):
    """One operation with at least one NPU tensor among its operands."""
    name = getattr(function, "__name__", str(function))
    if name == "__get__":
        with _no_dispatch():
            result = function(*arguments, **named)
        return mark(result) if type(result) is torch.Tensor else result
    on_npu = True
    if named.get("device") is not None:
        on_npu = is_npu_device(named["device"])
        named = dict(named, device="cpu")
    if name in MOVES:
        with _no_dispatch():
            result = _moved(function, name, arguments, named)
        return _marked(result, arguments) if on_npu else result
    tensors = list(_tensors((arguments, named)))
    _forbid_mixing(name, tensors)
    _count_compilation(name, tensors)
    with _no_dispatch():
        result = _computed(function, name, arguments, named, tensors)
    return _marked(result, tensors) if on_npu else result


def _moved(function, name, arguments, named):
    """Views, copies, casts: as torch does them, but for a float16 that is too large."""
    source = arguments[0] if arguments else None
    wanted = _cast_of(name, arguments[1:], named)
    if wanted == torch.float16 and source.dtype == torch.float32:
        return ToHalf.apply(source)
    if wanted == torch.float32 and source.dtype == torch.float16:
        return ToFloat.apply(source)
    if name == "copy_" and source.dtype == torch.float16 and arguments[1].dtype == torch.float32:
        return function(source, ToHalf.apply(arguments[1]), **named)
    return function(*arguments, **named)


def _cast_of(name, arguments, named):
    """The type that a cast is to; None for other operations."""
    if name in ("half", "float"):
        return torch.float16 if name == "half" else torch.float32
    if name in ("to", "type"):
        given = [
            value for value in arguments + (named.get("dtype"),) if isinstance(value, torch.dtype)
        ]
        return given[0] if given else None
    return None


def _computed(function, name, arguments, named, tensors):
    low = _autocast_dtype(name, tensors)
    if low is not None:
        arguments, named = _map((arguments, named), lambda value: _cast(value, low))
        tensors = list(_tensors((arguments, named)))
    if any(value.dtype == torch.float16 for value in tensors):
        return _in_half(function, name, arguments, named, tensors)
    if name not in CUBE:
        return function(*arguments, **named)
    return _on_the_cube(function, arguments, named)


def _autocast_dtype(name, tensors):
    """What autocast casts an operation's inputs to; None where it leaves them."""
    if State.autocast_dtype is None:
        return None
    if name in CUBE:
        return State.autocast_dtype
    low = any(value.dtype in (torch.float16, torch.bfloat16) for value in tensors)
    return torch.float32 if name in FLOAT32 and low else None


def _cast(value, dtype):
    if not value.is_floating_point() or value.dtype == dtype or value.dtype == torch.float64:
        return value
    if dtype == torch.float16:
        return ToHalf.apply(value.float())
    if value.dtype == torch.float16:
        return _cast(ToFloat.apply(value), dtype)
    return torch._C._TensorBase.to(value, dtype)


def _on_the_cube(function, arguments, named):
    """A float32 convolution or matrix product, in what precision the option allows."""
    if options[PRECISION] != ALLOW_FP16:
        return function(*arguments, **named)

    def reduced(value):
        inputs = value.dtype == torch.float32 and value.dim() > 1
        return ReadAsHalf.apply(value) if inputs else value

    arguments, named = _map((arguments, named), reduced)
    result = function(*arguments, **named)
    if isinstance(result, torch.Tensor) and result.dtype == torch.float32:
        return GradientReadAsHalf.apply(result)
    return result


def _in_half(function, name, arguments, named, tensors):
    """float16 by way of float32, rounded after each operation."""
    first = tensors[0]
    floats = [value for value in tensors if value.is_floating_point() and value.dim() > 0]
    as_first = name in NORMS or all(value.dtype == torch.float16 for value in floats)
    if name in CUBE and not as_first:
        raise RuntimeError(
            f"expected all inputs of {name} in one type, found "
            f"{sorted({str(value.dtype) for value in floats})}"
        )
    inplace = _outplace(name)
    half_result = first.dtype == torch.float16 and as_first
    if inplace:
        function, half_result = getattr(torch.Tensor, inplace), first.dtype == torch.float16
    target = first if inplace or named.get("inplace") else None
    if "inplace" in named:
        named = dict(named, inplace=False)
    arguments, named = _map((arguments, named), _as_float)
    result = function(*arguments, **named)
    result = _map(result, _as_half) if half_result and "dtype" not in named else result
    if target is not None and first.dtype in (torch.float16, torch.float32):
        return torch._C._TensorBase.copy_(target, result)
    return result


def _outplace(name):
    """The name of an in-place operation's counterpart, None for others."""
    if (
        name.startswith("__i")
        and name.endswith("__")
        and name not in ("__invert__", "__int__", "__index__")
    ):
        return "__" + name[3:]
    if name.endswith("_") and not name.endswith("__"):
        return name[:-1]
    return None


def _as_float(value):
    return ToFloat.apply(value) if value.dtype == torch.float16 else value


def _as_half(value):
    return ToHalf.apply(value) if value.dtype == torch.float32 else value


def _forbid_mixing(name, tensors):
    if State.backward_depth or name in _MAY_MIX:
        return
    strays = [value for value in tensors if not isinstance(value, NpuTensor) and value.dim() > 0]
    if strays:
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two "
            f"devices, npu:{State.device_index} and cpu! ({name})"
        )


def _count_compilation(name, tensors):
    """A kernel for every shape and type."""
    key = (name,) + tuple((value.dtype, value.shape) for value in tensors)
    if key not in State.compiled:
        State.compiled.add(key)
        report.note(
            "compile",
            operation=name,
            shapes=[[str(value.dtype)] + list(value.shape) for value in tensors],
        )


# --- nested containers -----------------------------------------------------------------------


def _tensors(value):
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, dict):
        yield from _tensors(tuple(value.values()))


def _map(value, change):
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, dict):
        return {name: _map(part, change) for name, part in value.items()}
    if type(value) in (tuple, list):
        return type(value)(_map(part, change) for part in value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*[_map(part, change) for part in value])
    return value


def _marked(result, operands):
    """Marks the tensors of a result, but for CPU operands that came back."""
    if isinstance(result, torch.Tensor):
        if not isinstance(result, NpuTensor) and not any(result is value for value in operands):
            mark(result)
    elif isinstance(result, (tuple, list)):
        for part in result:
            _marked(part, operands)
    return result


@contextlib.contextmanager
def autocast_to(dtype):
    """Autocast to a type (None: off) within the block."""
    before, State.autocast_dtype = State.autocast_dtype, dtype
    try:
        yield
    finally:
        State.autocast_dtype = before
