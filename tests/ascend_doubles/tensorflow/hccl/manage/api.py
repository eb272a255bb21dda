"""Ranks and groups: valid after initialize_system, while its session is open (1.10)."""

from __future__ import annotations

from npu_bridge.contract.process import PROCESS

WORLD = "hccl_world_group"
_groups = {}


def _require_open() -> None:
    if PROCESS.options is None:
        raise RuntimeError("HCCL is not initialised: no NPU session has run")
    if not any(session["on_npu"] and session["open"] for session in PROCESS.sessions):
        raise RuntimeError("HCCL is not initialised: its session is closed")


def get_rank_id(group=WORLD):
    """This rank's number in a group."""
    _require_open()
    return PROCESS.rank if group == WORLD else _groups[group].index(PROCESS.rank)


def get_rank_size(group=WORLD):
    """The number of ranks in a group."""
    _require_open()
    return PROCESS.size if group == WORLD else len(_groups[group])


def get_local_rank_id(group=WORLD):
    """The same as get_rank_id: this double knows one server."""
    return get_rank_id(group)


def get_local_rank_size(group=WORLD):
    """The same as get_rank_size: this double knows one server."""
    return get_rank_size(group)


def create_group(group, rank_num, rank_ids):
    """Names some ranks a group."""
    _require_open()
    if len(rank_ids) != rank_num:
        raise ValueError(f"{len(rank_ids)} ranks, not {rank_num}")
    _groups[group] = list(rank_ids)


def destroy_group(group):
    """Forgets a group."""
    _require_open()
    del _groups[group]


def get_world_rank_from_group_rank(group, group_rank_id):
    """A rank's number among all."""
    _require_open()
    return group_rank_id if group == WORLD else _groups[group][group_rank_id]


def get_group_rank_from_world_rank(world_rank_id, group):
    """A rank's number in a group."""
    _require_open()
    return world_rank_id if group == WORLD else _groups[group].index(world_rank_id)
