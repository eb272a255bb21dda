"""Made-up records, references and rules for the tests of the gate."""

from __future__ import annotations

import dataclasses
from typing import Any, List, Optional, Sequence

import attrs

from common.cards.model_card import Metric
from common.cards.tiers import TierRules
from common.evidence.gate.baseline import Baseline, make_baseline
from common.evidence.gate.soundness import GivenRun
from common.runs import record as run_record
from common.runs.record import RunRecord
from tests.run_events import whole_run

ACCURACY = Metric("accuracy", "percent", True, 0.3)
FG_ARI = Metric("fg_ari", "fraction", True, 0.02, success=0.95)


def rules(
    tier: str = "smoke",
    metric: Metric = ACCURACY,
    margin: Optional[float] = None,
    seeds: int = 1,
    chance: Optional[float] = None,
    speed_margin: float = 0.1,
) -> TierRules:
    if margin is not None:
        metric = attrs.evolve(metric, margin=margin)
    return TierRules(tier, ("smoke",), seeds, metric, chance, speed_margin, 0.05)


def record(
    accuracy: float = 91.0,
    seed: int = 0,
    speed: Optional[float] = 100.0,
    data_wait: Optional[float] = 0.02,
    config: Any = None,
    **changes: Any,
) -> RunRecord:
    """A complete run; `changes` replace fields of the record."""
    made = run_record.from_events(whole_run(), "smoke", "zoo launch")
    return dataclasses.replace(
        made,
        run_id=f"run-{seed}",
        seed=seed,
        config=dict(
            {"recipe": "reference", "augmentation": {"flip": True}}, seed=seed, **(config or {})
        ),
        metrics=dataclasses.replace(made.metrics, final={"accuracy": accuracy}),
        speed=dataclasses.replace(made.speed, samples_per_second=speed, data_wait=data_wait),
        **dict({"first_batches_sha256": f"{seed:064d}"}, **changes),
    )


def baseline(accuracies: Sequence[float] = (90.8, 91.0, 91.2), **changes: Any) -> Baseline:
    return make_baseline([record(value, seed, **changes) for seed, value in enumerate(accuracies)])


def given(*records: RunRecord) -> List[GivenRun]:
    return [GivenRun(made.run_id, made) for made in records]
