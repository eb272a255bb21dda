"""modelzoo_level.txt: what is proven of a network on an NPU, computed from the kept records.

Statuses that no record proves are `unverified`, a word that Ascend's vocabulary lacks: a file with
OK for what nobody ran is what this one is not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Sequence, Tuple

from common.cards.model_card import ModelCard
from common.evidence.comparison.compared import compare
from common.evidence.comparison.runs import Group, read_run, settings_of
from common.evidence.comparison.verdicts import INCONCLUSIVE, NOK, OK, PERFECT, POK
from common.runs import store
from common.runs.record import COMPLETE, RunRecord

FILE_NAME = "modelzoo_level.txt"
UNVERIFIED = "unverified"


def levels(root: Path, cards: Sequence[ModelCard], records: Sequence[RunRecord]) -> Dict[Path, str]:
    """What each network's file has to hold, by its path: a line for each status, without blanks."""
    return {card.folder / FILE_NAME: _level_of(root, card.name, records) for card in cards}


def _level_of(root: Path, model: str, records: Sequence[RunRecord]) -> str:
    on: Dict[str, Dict[Tuple[str, str], List[RunRecord]]] = {"gpu": {}, "npu": {}}
    for record in records:
        if record.model == model and record.status == COMPLETE and record.device.kind in on:
            on[record.device.kind].setdefault((record.task, record.case), []).append(record)
    found = []
    for case in sorted(set(on["gpu"]) & set(on["npu"])):
        groups = [
            Group(
                kind, tuple(read_run(store.record_path(root, one), kind) for one in on[kind][case])
            )
            for kind in ("gpu", "npu")
        ]
        found.append(compare(groups[0], groups[1], settings_of(groups)))
    statuses = {
        "GPUStatus": OK if on["gpu"] else UNVERIFIED,
        "NPUMigrationStatus": UNVERIFIED,
        "FuncStatus": OK if on["npu"] else UNVERIFIED,
        "PrecisionStatus": _worst([one.precision.status for one in found]),
        "AutoTune": UNVERIFIED,
        "PerfStatus": _worst([one.perf.status for one in found]),
    }
    return "".join(f"{key}:{value}\n" for key, value in statuses.items())


def _worst(statuses: Sequence[str]) -> str:
    """The worst status, unverified where there is none or one can't be told."""
    if not statuses or INCONCLUSIVE in statuses:
        return UNVERIFIED
    return min(statuses, key=(NOK, POK, OK, PERFECT).index)
