"""modelzoo_level.txt: what is proven of a network on an NPU, computed from the kept records.

Statuses that no record proves are `unverified`, a word that Ascend's vocabulary lacks: a file with
OK for what nobody ran is what this one is not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Dict, List, Sequence, Tuple

from common.cards.model_card import ModelCard
from common.evidence.comparison.compared import Comparison, compare
from common.evidence.comparison.runs import Group, read_run
from common.evidence.comparison.settings import Asked, settings_of
from common.evidence.comparison.verdicts import INCONCLUSIVE, NOK, OK, PERFECT, POK
from common.runs import store as record_store
from common.runs.record import RunRecord

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
_WORST_FIRST = (NOK, POK, OK, PERFECT)
Compare = Callable[[Sequence[RunRecord], Sequence[RunRecord]], Comparison]


def level_of(card: ModelCard, records: Sequence[RunRecord], compared: Compare) -> Dict[str, str]:
    """The six statuses of a network.

    Args:
        records: of all networks.
        compared: compares the GPU's records of a case with the NPU's.
    """
    own = [
        record for record in records if record.model == card.name and record.status == "complete"
    ]
    on = {kind: [record for record in own if record.device.kind == kind] for kind in ("gpu", "npu")}
    pairs = [compared(gpu, npu) for gpu, npu in _same_cases(on["gpu"], on["npu"])]
    proven = {
        "GPUStatus": OK if on["gpu"] else UNVERIFIED,
        "FuncStatus": OK if on["npu"] else UNVERIFIED,
        "PrecisionStatus": _worst([pair.precision.status for pair in pairs]),
        "PerfStatus": _worst([pair.perf.status for pair in pairs]),
    }
    return {key: proven.get(key, UNVERIFIED) for key in KEYS}


def _same_cases(
    gpu: Sequence[RunRecord], npu: Sequence[RunRecord]
) -> List[Tuple[List[RunRecord], List[RunRecord]]]:
    """The records of both devices, case by case, for the cases that both have run."""
    by_case = {(record.task, record.case) for record in gpu} & {
        (record.task, record.case) for record in npu
    }
    return [
        tuple(
            [
                record
                for record in side  # type: ignore[misc]
                if (record.task, record.case) == case
            ]
            for side in (gpu, npu)
        )
        for case in sorted(by_case)
    ]


def _worst(statuses: Sequence[str]) -> str:
    """The worst status, unverified where there is none or one can't be told."""
    if not statuses or INCONCLUSIVE in statuses:
        return UNVERIFIED
    return min(statuses, key=_WORST_FIRST.index)


def compare_records(root: Path) -> Compare:
    """The comparison of kept records as `zoo compare` makes it, by the card's metric and margin."""

    def compared(gpu: Sequence[RunRecord], npu: Sequence[RunRecord]) -> Comparison:
        groups = [
            Group(
                label,
                tuple(
                    read_run(record_store.record_path(root, record), label) for record in records
                ),
            )
            for label, records in (("gpu", gpu), ("npu", npu))
        ]
        return compare(groups[0], groups[1], settings_of(Asked(), groups))

    return compared


def text_of(level: Dict[str, str]) -> str:
    """A line for each status, without blanks, as Ascend's tools read it."""
    return "".join(f"{key}:{value}\n" for key, value in level.items())


def levels(root: Path, cards: Sequence[ModelCard], records: Sequence[RunRecord]) -> Dict[Path, str]:
    """What each network's file has to hold, by its path."""
    compared = compare_records(root)
    return {card.folder / FILE_NAME: text_of(level_of(card, records, compared)) for card in cards}
