"""torch.device of the 1.8.1 packages: it knows "npu", and isinstance takes both kinds for it."""

import torch

from npu_double.tensors import State

_real_device = torch.device


class NpuDevice:
    """npu with its number; xla is what torch 1.8.1 calls it inside."""

    type = "npu"

    def __init__(self, index=None):
        self.index = index

    def __str__(self):
        return "npu" if self.index is None else f"npu:{self.index}"

    def __repr__(self):
        number = "" if self.index is None else f", index={self.index}"
        return f"device(type='npu'{number})"

    def __eq__(self, other):
        return isinstance(other, NpuDevice) and other.index == self.index

    def __hash__(self):
        return hash(("npu", self.index))


class _Kinds(type):
    def __instancecheck__(cls, value):
        return type(value) in (_real_device, NpuDevice)


class device(metaclass=_Kinds):  # noqa: N801
    """Makes a device of torch's own, or an NpuDevice."""

    def __new__(cls, kind, index=None):
        if isinstance(kind, (NpuDevice, _real_device)):
            return kind
        if isinstance(kind, int):
            return NpuDevice(kind)
        name, _, number = kind.partition(":")
        if name != "npu":
            return _real_device(kind) if index is None else _real_device(kind, index)
        return NpuDevice(int(number) if number else index)


def make_device(index):
    """The device of an NPU tensor."""
    return NpuDevice(State.device_index or 0 if index is None else index)


def install_devices():
    """Puts it in torch's place."""
    torch.device = device
