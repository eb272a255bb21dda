"""The hccl backend: gloo underneath, with HCCL's conditions."""

import atexit
import functools
import hashlib
import os

import torch
from torch import distributed
from torch.distributed import distributed_c10d
from torch.nn.parallel import DistributedDataParallel

from npu_double import report
from npu_double.tensors import State, is_npu_tensor

_COLLECTIVES = "all_reduce reduce broadcast all_gather gather scatter reduce_scatter send recv"


def make_group(store, rank, world_size, timeout):
    """The process group; every rank must have a device of its own by then."""
    if State.device_index is None:
        raise RuntimeError("hccl: torch.npu.set_device comes before init_process_group")
    report.note("init_process_group", backend="hccl", rank=rank, world_size=world_size)
    # HCCL would take the network card of HCCL_IF_IP; gloo underneath the loopback.
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    return distributed_c10d.ProcessGroupGloo(store, rank, world_size, timeout=timeout)


def any_rank(flag):
    """Whether a flag is set on any rank."""
    value = torch.tensor([float(flag)], device="npu")
    distributed.all_reduce(value)
    return float(value) > 0


def _is_hccl(group):
    if not distributed.is_initialized():
        return False
    world = distributed.group.WORLD
    return distributed.get_backend(world if group is None else group) == "hccl"


def _collective(name, function):
    @functools.wraps(function)
    def run(*arguments, **named):
        if not _is_hccl(named.get("group")):
            return function(*arguments, **named)
        tensors = list(_flat(list(arguments) + list(named.values())))
        if not State.backward_depth and not all(map(is_npu_tensor, tensors)):
            raise RuntimeError(f"hccl: {name} takes NPU tensors only")
        for value in tensors:  # broadcast and gather have fewer types than these
            report.note_once("collective", name=name, type=str(value.dtype))
        return function(*arguments, **named)

    return run


def _flat(values):
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _flat(value)


def _noted_ddp(original):
    @functools.wraps(original)
    def initialise(self, module, device_ids=None, *arguments, **named):
        weights = list(module.parameters())
        if _is_hccl(None):
            atexit.register(_note_weights, weights)
            report.note("DDP", device_ids=device_ids, buffers=named.get("broadcast_buffers", True))
        original(self, module, device_ids, *arguments, **named)
        self.use_side_stream_for_tensor_copies = False

    return initialise


def _note_weights(weights):
    """At the end of the process, for tests: whether all ranks hold the same."""
    digest = hashlib.sha256()
    for weight in weights:
        digest.update(weight.detach().float().cpu().numpy().tobytes())
    report.note("final weights", sha256=digest.hexdigest())


def install():
    """Registers the backend and puts the conditions around torch.distributed."""
    distributed.Backend.register_backend("hccl", make_group)
    for name in _COLLECTIVES.split():
        wrapped = _collective(name, getattr(distributed_c10d, name))
        setattr(distributed_c10d, name, wrapped)
        setattr(distributed, name, wrapped)
    DistributedDataParallel.__init__ = _noted_ddp(DistributedDataParallel.__init__)
