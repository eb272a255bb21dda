"""Events of a small run, for tests of what is made from them."""

from __future__ import annotations

from typing import Any, Dict, List

START: Dict[str, Any] = {
    "event": "start",
    "time": 1000.0,
    "model": "residual_attention_net",
    "task": "classification",
    "command": "train",
    "config": {"recipe": "reference", "seed": 0},
    "config_sha256": "c" * 64,
    "code": {"commit": "a" * 40, "dirty": False},
    "network": {"name": "small", "parameters": 1234, "multiply_accumulates": 99},
    "dataset": {"name": "digits", "predicate": "all", "manifest_sha256": "d" * 64},
    "device": {"kind": "cpu", "name": "Test CPU", "count": 1, "driver": "", "runtime": "2 threads"},
    "precision": {"mode": "O0", "arithmetic": "float32", "loss_scale": "none"},
    "batch": {"per_device": 32, "global": 32},
    "seed": 0,
    "targets": {"steps": 20, "epochs": 2},
    "resumed_step": 0,
    "rank": 0,
    "world_size": 1,
    "proof": "9 parameter tensors on cpu",
}
START["dataset"]["counts"] = {"train": 64, "test": 40}
START["device"].update(framework="torch 2", python="3.11")


def step(number: int, loss: Any = 1.0, seconds: float = 0.5, **fields: Any) -> Dict[str, Any]:
    """A step event of a global batch of 32."""
    at = {"time": 1000.0 + number, "step": number, "epoch": (number - 1) // 10 + 1}
    told = {"loss": loss, "learning_rate": 0.1, "seconds": seconds, "data_seconds": 0.01}
    return {"event": "step", **at, **told, "samples": 32, **fields}


def evaluation(
    role: str, split: str, epoch: int, accuracy: float, **metrics: float
) -> Dict[str, Any]:
    """An evaluation event over 40 samples."""
    at = {"time": 1030.0, "epoch": epoch, "step": epoch * 10, "split": split, "role": role}
    told = dict(metrics, accuracy=accuracy, loss=0.5)
    return {"event": "evaluation", **at, "n": 40, "metrics": told}


def whole_run() -> List[Dict[str, Any]]:
    """Two epochs of ten steps, two validations, the final test, a good end."""
    events = [dict(START)]
    for epoch in (1, 2):
        events += [step(number) for number in range(10 * epoch - 9, 10 * epoch + 1)]
        at = {"epoch": epoch, "step": 10 * epoch}
        told = {"train_loss": 1.0 / epoch, "peak_memory": 2**30}
        events.append({"event": "epoch", "time": 1000.0 + 10 * epoch, **at, **told})
        events.append(evaluation("progress", "validation", epoch, 50.0 + epoch))
        told = {"path": "x.pt", "sha256": "e" * 64}
        events.append({"event": "checkpoint", "time": 1025.0, **at, **told})
    events.append(evaluation("final", "test", 2, 91.5))
    events.append(evaluation("best", "test", 2, 91.0, validation_accuracy=52.0))
    events.append({"event": "end", "time": 1040.0, "status": "complete", "reason": ""})
    return events
