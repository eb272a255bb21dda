"""NPU tensors, the device they tell of, and what the import of torch_npu changes in torch itself.

float16 is torch's own; what a processor has no float16 kernel for is computed by way of float32.
"""

import functools
import os

import torch
from torch import nn

from npu_double import report

_real_device = torch.device
_plain_to = torch._C._TensorBase.to
_no_dispatch = torch._C.DisableTorchFunction
# CPU tensors among an NPU tensor's operands that are no mistake.
_MAY_MIX = {"__set__", "__getitem__", "__setitem__", "copy_", "index_put_", "type_as", "set_"}
_RANDOM = ("rand", "randn", "randint", "randperm")
_FACTORIES = (*_RANDOM, "zeros", "ones", "empty", "full", "arange", "tensor", "as_tensor", "eye")
generator = torch.Generator()  # the NPU's own random numbers


class State:
    """Where this process stands."""

    device_index = None  # set_device was not called yet
    backward_depth = 0


# --- devices ---


class NpuDevice:
    """npu with its number."""

    type = "npu"

    def __init__(self, index=None):
        self.index = index

    def __str__(self):
        return "npu" if self.index is None else f"npu:{self.index}"

    def __eq__(self, other):
        return isinstance(other, NpuDevice) and other.index == self.index

    def __hash__(self):
        return hash(("npu", self.index))


class _Kinds(type):
    def __instancecheck__(cls, value):
        return type(value) in (_real_device, NpuDevice)


class device(metaclass=_Kinds):  # noqa: N801
    """Makes a device of torch's own, or an NpuDevice; isinstance takes both kinds for it."""

    def __new__(cls, kind, index=None):
        if isinstance(kind, (NpuDevice, _real_device)):
            return kind
        name, _, number = kind.partition(":")
        if name != "npu":
            return _real_device(kind) if index is None else _real_device(kind, index)
        return NpuDevice(int(number) if number else index)


def device_count():
    """The devices this process may use; ASCEND_DEVICE_ID is not looked at."""
    count = int(os.environ.get("ASCEND_DOUBLE_DEVICES", "8"))
    visible = os.environ.get("ASCEND_RT_VISIBLE_DEVICES", ",".join(map(str, range(count))))
    return len([number for number in visible.split(",") if int(number) < count])


def index_of(place):
    """The number in 1, "npu:1" or torch.device("npu:1"); RuntimeError if there is no such NPU."""
    text = str(place)
    index = int(text.rpartition(":")[2]) if text != "npu" else State.device_index or 0
    if not 0 <= index < device_count():
        raise RuntimeError(f"invalid device: {text} of {device_count()}")
    return index


def _is_npu(place):
    return str(place).partition(":")[0] == "npu"


def _take_device(arguments, named):
    """(device or None, arguments, named) of a .to() without its device; a number is an NPU's."""
    named = dict(named)
    place = named.pop("device", None)
    if arguments and not isinstance(arguments[0], (torch.dtype, torch.Tensor)):
        place, arguments = arguments[0], arguments[1:]
    return NpuDevice(place) if isinstance(place, int) else place, arguments, named


# --- tensors ---


class NpuTensor(torch.Tensor):
    """A tensor on an NPU: a CPU tensor of this class, and everything computed from it is too."""

    @property
    def device(self):
        """npu with its number."""
        return NpuDevice(State.device_index)

    def to(self, *arguments, **named):
        """As torch's; a copy where the device changes."""
        place, arguments, named = _take_device(arguments, named)
        if named.get("memory_format") is torch.channels_last:
            report.note_once("channels_last", where="tensor")
        stays = place is None or _is_npu(place)
        with _no_dispatch():
            value = self if stays else torch.Tensor.clone(self)
            if arguments or set(named) - {"non_blocking", "copy"}:
                value = _plain_to(value, *arguments, **named)
        return _marked(value, ()) if stays else value

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
        """One operation with at least one NPU tensor among its operands."""
        name, named = getattr(function, "__name__", str(function)), dict(named or {})
        on_npu = named.get("device") is None or _is_npu(named["device"])
        if named.get("device") is not None:
            named["device"] = "cpu"
        tensors = list(_tensors((arguments, named)))
        if name != "__get__":
            _forbid_mixing(name, tensors)
            shapes = [list(value.shape) for value in tensors]
            report.note_once("compile", operation=name, shapes=shapes)
        with _no_dispatch():
            result = _computed(function, name, arguments, named, tensors)
        return _marked(result, tensors) if on_npu else result


class NpuParameter(NpuTensor, nn.Parameter):
    """A parameter of a module that was moved to an NPU."""


def mark(value):
    """Makes a tensor an NPU tensor, in place; returns it.

    Raises:
        RuntimeError: set_device was not called before.
    """
    if State.device_index is None:
        raise RuntimeError("torch.npu.set_device comes before the first NPU tensor of a process")
    if not isinstance(value, NpuTensor):
        value.__class__ = NpuParameter if isinstance(value, nn.Parameter) else NpuTensor
    return value


def is_npu_tensor(value):
    """Whether a value is a tensor on an NPU."""
    return isinstance(value, NpuTensor)


def _forbid_mixing(name, tensors):
    strays = [value for value in tensors if not is_npu_tensor(value) and value.dim() > 0]
    if strays and not State.backward_depth and name not in _MAY_MIX:
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two "
            f"devices, npu:{State.device_index} and cpu! ({name})"
        )


def _computed(function, name, arguments, named, tensors):
    """The result; what has no float16 kernel, forward or backward, is computed in float32."""
    if name != "conv2d" or any(value.dtype != torch.float16 for value in tensors):
        try:
            return function(*arguments, **named)
        except RuntimeError as fault:
            if "'Half'" not in str(fault) or name == "backward":
                raise
    arguments, named = _map((arguments, named), torch.float16, torch.float32)
    return _map(function(*arguments, **named), torch.float32, torch.float16)


def _tensors(value):
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (tuple, list, dict)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _tensors(part)


def _map(value, source, target):
    """The same with tensors of one type cast to another."""
    if isinstance(value, torch.Tensor):
        return _plain_to(value, target) if value.dtype == source else value
    if isinstance(value, dict):
        return {name: _map(part, source, target) for name, part in value.items()}
    if type(value) in (tuple, list):
        return type(value)(_map(part, source, target) for part in value)
    return value


def _marked(result, operands):
    """Marks the tensors of a result, but for CPU operands that came back."""
    for value in _tensors(result):
        if not any(value is operand for operand in operands):
            mark(value)
    return result


# --- torch's own functions ---


def _factory(function, name):
    @functools.wraps(function)
    def make(*arguments, **named):
        place = named.get("device")
        if place is None or not _is_npu(place):
            return function(*arguments, **named)
        index_of(place)
        named["device"] = "cpu"
        if name in _RANDOM and named.get("generator") is None:
            named["generator"] = generator
        return mark(function(*arguments, **named))

    return make


def _tensor_to(self, *arguments, **named):
    place, rest, others = _take_device(arguments, named)
    if rest and is_npu_tensor(rest[0]):  # where and what another tensor is
        place, rest = rest[0].device, (rest[0].dtype,)
    if place is None or not _is_npu(place):
        return _plain_to(self, *arguments, **named)
    index_of(place)
    others.pop("copy", None)
    value = _plain_to(self, *rest, **others) if rest or others else self
    return mark(torch.Tensor.clone(value))


def _module_to(original):
    @functools.wraps(original)
    def to(self, *arguments, **named):
        place, _, others = _take_device(arguments, named)
        if others.get("memory_format") is torch.channels_last:
            report.note_once("channels_last", where=type(self).__name__)
        if place is None or not _is_npu(place):
            return original(self, *arguments, **named)
        index_of(place)
        report.note("model placed")
        for part in self.modules():
            for weight in part._parameters.values():
                if weight is not None:
                    mark(weight)
            for name, value in part._buffers.items():
                if value is not None:  # batch norm counts in int32 there
                    kind = torch.int32 if name == "num_batches_tracked" else value.dtype
                    part._buffers[name] = value.to(place, kind)
        return self

    return to


def _backward(function):
    @functools.wraps(function)
    def run(*arguments, **named):
        State.backward_depth += 1
        try:
            return function(*arguments, **named)
        finally:
            State.backward_depth -= 1

    return run


def install():
    """Changes torch; called once, by the import of torch_npu."""
    torch.device = device
    for name in _FACTORIES:
        setattr(torch, name, _factory(getattr(torch, name), name))
    torch.Tensor.to = _tensor_to
    nn.Module.to = _module_to(nn.Module.to)
    torch.autograd.backward = _backward(torch.autograd.backward)
    torch.autograd.grad = _backward(torch.autograd.grad)
    torch.Tensor.backward = _backward(torch.Tensor.backward)
