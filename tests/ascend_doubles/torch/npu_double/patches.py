"""What the import of torch_npu changes in torch itself."""

import functools

import torch
from torch import nn

from npu_double import report
from npu_double.tensors import (
    NpuParameter,
    NpuTensor,
    State,
    index_of,
    is_npu_device,
    mark,
    put_on_npu,
    take_device,
    words,
)

_FACTORIES = words(
    """
    zeros ones empty full arange tensor as_tensor rand randn randint randperm eye zeros_like
    ones_like empty_like full_like rand_like randn_like
    """
)
_RANDOM = ("rand", "randn", "randint", "randperm")

generator = torch.Generator()  # the NPU's own random numbers


def _factory(function, name):
    @functools.wraps(function)
    def make(*arguments, **named):
        device = named.get("device")
        if device is None or not is_npu_device(device):
            return function(*arguments, **named)
        index_of(device)
        named["device"] = "cpu"
        if name in _RANDOM and named.get("generator") is None:
            named["generator"] = generator
        if name.endswith("_like") or name in ("tensor", "as_tensor"):
            arguments = tuple(
                value.cpu() if isinstance(value, NpuTensor) else value for value in arguments
            )
        made = function(*arguments, **named)
        return mark(made.clone() if any(made is value for value in arguments) else made)

    return make


def _tensor_to(original):
    @functools.wraps(original)
    def to(self, *arguments, **named):
        device, rest, others = take_device(arguments, named)
        if device is None or not is_npu_device(device):
            return original(self, *arguments, **named)
        index_of(device)
        others.pop("copy", None)
        value = original(self, *rest, **others) if rest or others else self
        return put_on_npu(value)

    return to


def _module_to(original):
    @functools.wraps(original)
    def to(self, *arguments, **named):
        device, rest, others = take_device(arguments, named)
        on_npu = is_npu_device(device) if device is not None else _is_on_npu(self)
        if on_npu and others.get("memory_format") is torch.channels_last:
            report.note("channels_last", where=type(self).__name__)
        if device is None:
            return original(self, *arguments, **named)
        if rest or others:
            original(self, *rest, **others)
        if on_npu:
            index_of(device)
            _place(self)
        else:
            _bring_back(self)
            original(self, device)
        return self

    return to


def _is_on_npu(module):
    return any(isinstance(weight, NpuTensor) for weight in module.parameters())


def _place(module):
    """Moves parameters and buffers; batch norm counts in int32 there."""
    if _is_on_npu(module):
        return
    report.note("model placed")
    for part in module.modules():
        for weight in part._parameters.values():
            if weight is not None:
                with torch.no_grad():
                    weight.data = weight.data.clone()
                mark(weight)
        for name, value in part._buffers.items():
            if value is not None:
                if name == "num_batches_tracked":
                    value = value.int()
                part._buffers[name] = put_on_npu(value)


def _bring_back(module):
    for part in module.modules():
        for weight in part._parameters.values():
            if isinstance(weight, NpuParameter):
                weight.__class__ = nn.Parameter
        for name, value in part._buffers.items():
            if isinstance(value, NpuTensor):
                part._buffers[name] = value.cpu()


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
    for name in _FACTORIES:
        setattr(torch, name, _factory(getattr(torch, name), name))
    torch.Tensor.to = _tensor_to(torch._C._TensorBase.to)
    module_to = nn.Module.to
    nn.Module.to = _module_to(module_to)
    nn.Module.cpu = lambda self: self.to("cpu")
    torch.autograd.backward = _backward(torch.autograd.backward)
    torch.autograd.grad = _backward(torch.autograd.grad)
    torch.Tensor.backward = _backward(torch.Tensor.backward)
