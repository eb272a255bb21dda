"""How gradients are split for communication: a matter of speed, which the double has none of."""

from __future__ import annotations


def set_split_strategy_by_idx(idx_list, group="hccl_world_group"):
    """Takes the last indices of segments."""


def set_split_strategy_by_size(data_size_list, group="hccl_world_group"):
    """Takes segments' shares in percent, which add up to 100."""
    if sum(data_size_list) != 100:
        raise ValueError("the shares must add up to 100")
