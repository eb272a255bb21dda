"""Which cores each rank may use: an even share of the allowed ones, where that makes sense."""

from __future__ import annotations

import os
from typing import FrozenSet, List, Optional, Sequence, Tuple

from common.core.errors import UsageError


def allowed_cores() -> FrozenSet[int]:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def shares(cores: Sequence[int], n_ranks: int, wish: str) -> List[Optional[Tuple[int, ...]]]:
    """Each rank's cores on this machine, None for a rank that is not bound.

    One rank is never bound: it would lose cores to nobody's gain.

    Args:
        cores: the cores that may be used.
        wish: "auto" binds several ranks that have at least a core each, "true" insists, "false"
            binds none.

    Raises:
        UsageError: binding was asked for and there are fewer cores than ranks.
    """
    unbound: List[Optional[Tuple[int, ...]]] = [None] * n_ranks
    if wish == "false" or n_ranks == 1:
        return unbound
    if len(cores) < n_ranks:
        if wish == "true":
            raise UsageError(
                f"--bind_core: {n_ranks} ranks can't be bound to {len(cores)} cores; leave it out "
                "or give fewer --ranks"
            )
        return unbound
    ordered = sorted(cores)
    edges = [len(ordered) * rank // n_ranks for rank in range(n_ranks + 1)]
    return [tuple(ordered[low:high]) for low, high in zip(edges, edges[1:])]
