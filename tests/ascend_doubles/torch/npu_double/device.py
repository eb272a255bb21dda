"""torch_npu.npu, and the torch.device that knows "npu": isinstance takes both kinds for it."""

import contextlib

import torch

from npu_double import patches, report
from npu_double.arithmetic import options
from npu_double.tensors import State, device_count, index_of

_real_device = torch.device


class NpuDevice:
    """npu with its number; xla is what torch 1.8.1 calls it inside."""

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


def set_device(device):
    """Makes a device this process's own: 1, "npu:1" or torch.device("npu:1")."""
    index = device if isinstance(device, int) else index_of(device) or 0
    if not 0 <= index < device_count():
        raise RuntimeError(f"invalid device: {index} of {device_count()}")
    State.device_index = index
    report.note("set_device", index=index)


def get_rng_state(device="npu"):
    """The state of the device's random numbers; a tensor on the CPU."""
    return patches.generator.get_state()


def set_rng_state(new_state, device="npu"):
    """Restores it."""
    patches.generator.set_state(new_state)


def set_option(given):
    """Sets what comes before the first operation."""
    options.update(given)
    report.note("set_option", options=dict(given))


@contextlib.contextmanager
def profile(profiler_result_path=None, use_e2e_profiler=False, config=None):
    """torch.npu.profile of the 3.0 packages."""
    report.note("profiler starts", folder=str(profiler_result_path))
    yield
    report.note("profiler stops")


# What every package of torch 1.8.1 has of ascend.md 3.2, as far as the product calls it.
NAMES = {
    "is_available": lambda: device_count() > 0,
    "device_count": device_count,
    "current_device": lambda: State.device_index or 0,
    "set_device": set_device,
    "set_option": set_option,
    "synchronize": lambda device=None: None,
    "empty_cache": lambda: None,
    "memory_allocated": lambda device=None: 1 << 20,
    "max_memory_allocated": lambda device=None: 1 << 21,
    "manual_seed": lambda seed: patches.generator.manual_seed(int(seed)),
    "manual_seed_all": lambda seed: patches.generator.manual_seed(int(seed)),
    "profile": profile,
}
