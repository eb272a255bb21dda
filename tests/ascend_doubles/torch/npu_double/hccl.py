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
_CAST = {torch.int64: torch.int32, torch.uint8: torch.int32, torch.float64: torch.float32}
_CASTING = ("all_reduce", "reduce")
_TYPES_OF_1 = (torch.int8, torch.int32, torch.float16, torch.float32)


def make_group(store, rank, world_size, timeout):
    """The process group; every rank must have a device of its own by then."""
    if State.device_index is None:
        raise RuntimeError("hccl: torch.npu.set_device comes before init_process_group")
    _check_devices(store, rank, world_size)
    report.note("init_process_group", backend="hccl", rank=rank, world_size=world_size)
    # HCCL would take the network card of HCCL_IF_IP; gloo underneath the loopback.
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    return distributed_c10d.ProcessGroupGloo(store, rank, world_size, timeout=timeout)


def _check_devices(store, rank, world_size):
    host = os.environ.get("HCCL_IF_IP", "")
    store.set(f"npu_of_{rank}", f"{host} {State.device_index}")
    places = [bytes(store.get(f"npu_of_{other}")) for other in range(world_size)]
    store.set(f"npus_read_by_{rank}", "")
    if rank == 0:  # which serves the store: the others need it until they have read
        for other in range(world_size):
            store.get(f"npus_read_by_{other}")
    if len(set(places)) < world_size:
        raise RuntimeError(f"hccl: two ranks have one device: {places}")


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
        _check_tensors(name, tensors)
        report.note_once(
            "collective", name=name, types=sorted({str(value.dtype) for value in tensors})
        )
        return _by_rules_of_1(name, function, tensors, arguments, named)

    return run


def _check_tensors(name, tensors):
    if not State.backward_depth and not all(is_npu_tensor(value) for value in tensors):
        raise RuntimeError(f"hccl: {name} takes NPU tensors only")


def _by_rules_of_1(name, function, tensors, arguments, named):
    """torch_npu 1.8.1 casts for all_reduce and reduce only."""
    strange = [value for value in tensors if value.dtype not in _TYPES_OF_1]
    if not strange:
        return function(*arguments, **named)
    value = strange[0]
    if name not in _CASTING or value.dtype not in _CAST:
        raise RuntimeError(f"hccl: {name} does not support {value.dtype}")
    smaller = value.to(_CAST[value.dtype])
    others = {key: part for key, part in named.items() if key != "tensor"}
    result = function(smaller, *arguments[1:], **others)
    value.copy_(smaller)
    return result


def _flat(values):
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _flat(value)


def _checked_ddp(original):
    @functools.wraps(original)
    def initialise(self, module, device_ids=None, *arguments, **named):
        weights = list(module.parameters())
        if _is_hccl(None):
            if not all(is_npu_tensor(weight) for weight in weights):
                raise RuntimeError("DistributedDataParallel: the model is not on the NPU yet")
            if not device_ids or len(device_ids) != 1:
                raise RuntimeError("DistributedDataParallel on an NPU needs device_ids=[number]")
            _check_states(module)
            atexit.register(_note_weights, weights)
            report.note(
                "DDP",
                device_ids=list(device_ids),
                broadcast_buffers=named.get("broadcast_buffers", True),
            )
        original(self, module, device_ids, *arguments, **named)
        self.use_side_stream_for_tensor_copies = False

    return initialise


def _note_weights(weights):
    """At the end of the process, for tests: whether all ranks hold the same."""
    digest = hashlib.sha256()
    for weight in weights:
        digest.update(weight.detach().float().cpu().numpy().tobytes())
    report.note("final weights", sha256=digest.hexdigest())


def _check_states(module):
    """It broadcasts parameters and buffers, which HCCL of 1.8.1 can't in every type."""
    for name, value in module.state_dict().items():
        if value.dtype not in _TYPES_OF_1:
            raise RuntimeError(f"hccl: broadcast of {name} does not support {value.dtype}")


def install():
    """Registers the backend and puts the conditions around torch.distributed."""
    distributed.Backend.register_backend("hccl", make_group)
    for name in _COLLECTIVES.split():
        wrapped = _collective(name, getattr(distributed_c10d, name))
        setattr(distributed_c10d, name, wrapped)
        setattr(distributed, name, wrapped)
    DistributedDataParallel.__init__ = _checked_ddp(DistributedDataParallel.__init__)
