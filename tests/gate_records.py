"""Made-up records, run folders, references and rules for the tests of the gate."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import attrs

from common.cards.model_card import Metric, Task, TierRules
from common.cards.model_folders import find_card
from common.core.files import sha256_of
from common.evidence.gate.evidence import GivenRun
from common.evidence.gate.references import Baseline, make_baseline
from common.runs import record as run_record
from common.runs.provenance import config_sha256
from common.runs.record import RunRecord
from tests.fake_zoo import REPOSITORY
from tests.run_events import whole_run

ACCURACY = Metric("accuracy", "percent", True, 0.3)
FG_ARI = Metric("fg_ari", "fraction", True, 0.02, success=0.95)
MODEL = "residual_attention_net"


def task(**changes: Any) -> Task:
    """A real task, whose metric is accuracy in percent."""
    return attrs.evolve(find_card(REPOSITORY, MODEL).task(None), **changes)


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
        **dict({"first_batches_sha256": f"{seed:064d}", "log_sha256": f"{seed:064d}"}, **changes),
    )


def baseline(accuracies: Sequence[float] = (90.8, 91.0, 91.2), **changes: Any) -> Baseline:
    return make_baseline([record(value, seed, **changes) for seed, value in enumerate(accuracies)])


def given(*records: RunRecord) -> List[GivenRun]:
    return [GivenRun(made.run_id, made) for made in records]


# --- the same on the disk ---


class RunOnDisk:
    """A finished run as the launcher leaves it, every file of which can be forged.

    Attributes:
        events: of rank 0; `write` makes all other files anew from them.
    """

    def __init__(self, folder: Path, seed: int = 0, accuracy: float = 91.0) -> None:
        self.folder = folder
        self.events = copy.deepcopy(whole_run())
        (start,) = self.of("start")
        start["config"] = {"recipe": "reference", "augmentation": {"flip": True}, "seed": seed}
        start["dataset"]["counts"]["validation"] = 40
        start.update(seed=seed, first_batches_sha256=f"{seed:064d}")
        start["config_sha256"] = config_sha256(start["config"])
        self.final["metrics"]["accuracy"] = accuracy
        self.write()

    def of(self, kind: str) -> List[Dict[str, Any]]:
        return [event for event in self.events if event["event"] == kind]

    @property
    def final(self) -> Dict[str, Any]:
        return next(event for event in self.events if event.get("role") == "final")

    def write(self, case: str = "smoke") -> None:
        """All files, so that they agree."""
        (self.folder / "rank_0").mkdir(parents=True, exist_ok=True)
        (start,) = self.of("start")[:1]
        marker = {"model": start["model"], "task": start["task"], "case": case}
        marker.update(command="zoo launch", state="complete", exit_code=0, reason="")
        self.write_json("run.json", marker)
        self.write_events()
        made = run_record.from_run_folder(self.folder)
        told = made.metrics.final.get("accuracy")
        speed = made.speed.samples_per_second
        lines = [
            f"seed {start['seed']}",
            "Final Performance images/sec : " + ("NA" if speed is None else f"{speed:.2f}"),
            "Final Train Accuracy : " + ("NA" if told is None else f"{told:.2f}"),
        ]
        (self.folder / "train_0.log").write_text("\n".join(lines) + "\n")
        launch = {"event": "launch", "time": 1041.0, "case": case, "command": "zoo launch"}
        launch.update(exit_code=0, reason="", seconds=41.0)
        launch.update(log_sha256=sha256_of(self.folder / "train_0.log"))
        self.events = [event for event in self.events if event["event"] != "launch"] + [launch]
        self.write_events()
        run_record.write_record(run_record.from_run_folder(self.folder), self.folder)

    def write_events(self) -> None:
        text = "".join(json.dumps(event) + "\n" for event in self.events)
        (self.folder / "rank_0" / "metrics.jsonl").write_text(text)

    def write_json(self, name: str, content: Any) -> None:
        (self.folder / name).write_text(json.dumps(content))

    def read_json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text())
