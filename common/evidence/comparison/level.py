"""modelzoo_level.txt: what is proven of a network on an NPU, computed from the kept records.

Statuses that no record proves are `unverified`, a word that Ascend's vocabulary lacks: a file with
OK for what nobody ran is what this one is not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Dict, List, Sequence, Tuple

from common.cards.model_card import ModelCard
from common.evidence.comparison.compared import compare
from common.evidence.comparison.runs import Group, read_run, settings_of
from common.evidence.comparison.verdicts import INCONCLUSIVE, NOK, OK, PERFECT, POK
from common.runs import store
from common.runs.record import COMPLETE, RunRecord

FILE_NAME = "modelzoo_level.txt"
UNVERIFIED = "unverified"
KEYS = (
    "GPUStatus",
    "NPUMigrationStatus",
    "FuncStatus",
    "PrecisionStatus",
    "AutoTune",
    "PerfStatus",
)
Records = Sequence[RunRecord]
Compare = Callable[[Records, Records], Tuple[str, str]]


def levels(root: Path, cards: Sequence[ModelCard], records: Records) -> Dict[Path, str]:
    """What each network's file has to hold, by its path: a line for each status, without blanks."""

    def compared(gpu: Records, npu: Records) -> Tuple[str, str]:
        groups = [
            Group(label, tuple(read_run(store.record_path(root, one), label) for one in side))
            for label, side in (("gpu", gpu), ("npu", npu))
        ]
        found = compare(groups[0], groups[1], settings_of(groups))
        return found.precision.status, found.perf.status

    return {
        card.folder / FILE_NAME: "".join(
            f"{key}:{value}\n" for key, value in level_of(card.name, records, compared).items()
        )
        for card in cards
    }


def level_of(model: str, records: Records, compared: Compare) -> Dict[str, str]:
    """The six statuses of a network.

    Args:
        records: of all networks.
        compared: PrecisionStatus and PerfStatus of the NPU's records of a case by the GPU's.
    """
    on: Dict[str, Dict[Tuple[str, str], List[RunRecord]]] = {"gpu": {}, "npu": {}}
    for record in records:
        if record.model == model and record.status == COMPLETE and record.device.kind in on:
            on[record.device.kind].setdefault((record.task, record.case), []).append(record)
    pairs = [
        compared(on["gpu"][case], on["npu"][case])
        for case in sorted(set(on["gpu"]) & set(on["npu"]))
    ]
    proven = {
        "GPUStatus": OK if on["gpu"] else UNVERIFIED,
        "FuncStatus": OK if on["npu"] else UNVERIFIED,
        "PrecisionStatus": _worst([precision for precision, _ in pairs]),
        "PerfStatus": _worst([perf for _, perf in pairs]),
    }
    return {key: proven.get(key, UNVERIFIED) for key in KEYS}


def _worst(statuses: Sequence[str]) -> str:
    """The worst status, unverified where there is none or one can't be told."""
    if not statuses or INCONCLUSIVE in statuses:
        return UNVERIFIED
    return min(statuses, key=(NOK, POK, OK, PERFECT).index)
