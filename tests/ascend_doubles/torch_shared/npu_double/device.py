"""The functions of torch_npu.npu that both generations have."""

import contextlib
import time

import torch

from npu_double import machine, patches, report
from npu_double.arithmetic import Overflow
from npu_double.options import options
from npu_double.tensors import NpuTensor, State, index_of


def is_available():
    """Whether there is a device."""
    return machine.device_count() > 0


def device_count():
    """How many this process sees."""
    return machine.device_count()


def current_device():
    """The number that set_device gave, 0 before."""
    return State.device_index or 0


def set_device(device):
    """Makes a device this process's own.

    Args:
        device: 1, "npu:1" or torch.device("npu:1").
    """
    index = device if isinstance(device, int) else index_of(device) or 0
    if not 0 <= index < machine.device_count():
        raise RuntimeError(f"invalid device: {index} of {machine.device_count()}")
    State.device_index = index
    report.note("set_device", index=index, soc=machine.soc())


def set_option(option):
    """See npu_double.options."""
    options.set(option)


def set_compile_mode(jit_compile=False):
    """Whether a kernel is compiled for every shape."""
    if not isinstance(jit_compile, bool):
        raise TypeError("jit_compile expects a bool")
    options.jit_compile = jit_compile
    report.note("set_compile_mode", jit_compile=jit_compile)


def set_mm_bmm_format_nd(enabled):
    """Whether matrices keep their format."""
    options.values["MM_BMM_ND_ENABLE"] = "enable" if enabled else "disable"


def set_aoe(dump_path):
    """Tuning; noted only."""
    report.note("set_aoe", path=str(dump_path))


def init_dump():
    """Dumping; noted only."""
    report.note("init_dump")


def set_dump(configuration):
    """Dumping; noted only."""
    report.note("set_dump", configuration=str(configuration))


def finalize_dump():
    """Dumping; noted only."""
    report.note("finalize_dump")


def get_npu_overflow_flag():
    """Whether a float16 value overflowed since the flag was cleared (before 910B1)."""
    _require_register()
    return Overflow.flag


def clear_npu_overflow_flag():
    """Forgets an overflow (before 910B1)."""
    _require_register()
    Overflow.flag = False


def _require_register():
    if machine.is_910b1_or_later():
        raise RuntimeError("the overflow flag is not available in INF/NaN mode")


def synchronize(device=None):
    """Waits for the device."""
    report.note_once("synchronize")


def empty_cache():
    """Nothing is cached here."""


def memory_allocated(device=None):
    """Bytes; a plausible number."""
    return 1 << 20


def max_memory_allocated(device=None):
    """Bytes; a plausible number."""
    return 1 << 21


def memory_reserved(device=None):
    """Bytes; a plausible number."""
    return 1 << 22


def manual_seed(seed):
    """Of the device's own random numbers."""
    patches.generator.manual_seed(int(seed))


def manual_seed_all(seed):
    """Of all devices."""
    manual_seed(seed)


def get_rng_state(device="npu"):
    """The state of the device's random numbers; a tensor on the CPU."""
    return patches.generator.get_state()


def set_rng_state(new_state, device="npu"):
    """Restores it."""
    if isinstance(new_state, NpuTensor):
        raise TypeError("the random state is a CPU tensor")
    patches.generator.set_state(new_state)


class Event:
    """A point in time on the device."""

    def __init__(self, enable_timing=False, blocking=False, interprocess=False):
        self._timing, self._time = enable_timing, None

    def record(self, stream=None):
        """Now."""
        self._time = time.perf_counter()

    def synchronize(self):
        """Waits for it."""

    def elapsed_time(self, end):
        """Milliseconds to another one."""
        if not self._timing:
            raise RuntimeError("the event was made without enable_timing")
        return 1000.0 * (end._time - self._time)


class Stream:
    """A queue of operations."""

    def __init__(self, device=None, priority=0):
        self.device = device

    def synchronize(self):
        """Waits for it."""


@contextlib.contextmanager
def stream(queue):
    """Runs the block in a stream."""
    yield queue


def current_stream(device=None):
    """The one stream there is."""
    return Stream()


def get_device_name(device=None):
    """The chip."""
    return machine.soc()


@contextlib.contextmanager
def profile(profiler_result_path=None, use_e2e_profiler=False, config=None):
    """torch.npu.profile of the 1.8.1 packages."""
    report.note("profiler starts", folder=str(profiler_result_path))
    yield
    report.note("profiler stops")


def names():
    """The functions of ascend.md 3.2."""
    chosen = (
        is_available,
        device_count,
        current_device,
        set_device,
        set_option,
        set_compile_mode,
        set_mm_bmm_format_nd,
        set_aoe,
        init_dump,
        set_dump,
        finalize_dump,
        get_npu_overflow_flag,
        clear_npu_overflow_flag,
        synchronize,
        empty_cache,
        memory_allocated,
        max_memory_allocated,
        memory_reserved,
        manual_seed,
        manual_seed_all,
        Event,
        Stream,
        stream,
        current_stream,
    )
    return {value.__name__: value for value in chosen}


def make_device_of_torch_2(index):
    """torch.device("npu:<index>"), which torch 2 knows after the renaming."""
    return torch.device(f"npu:{index}")
