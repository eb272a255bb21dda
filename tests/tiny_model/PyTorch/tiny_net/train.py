"""Softmax regression on four blobs. TINY_NET_BREAK breaks the sources, as a bad commit would."""

from __future__ import annotations

import argparse
import hashlib
import os
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import numpy

from common.core.command_line import run_program
from common.runs.events import RunLog
from common.runs.provenance import config_sha256
from tiny_net.options import parser_of

CLASSES, FEATURES, SAMPLES, EPOCHS = 4, 8, 400, 8
SECONDS_OF_A_STEP = 0.01  # told, not measured: a test must not depend on the machine's load
BROKEN = os.environ.get("TINY_NET_BREAK", "")


def blobs(seed: int) -> Tuple[numpy.ndarray, numpy.ndarray]:
    """Images (SAMPLES, FEATURES) and labels (SAMPLES,)."""
    random = numpy.random.RandomState(seed)
    labels = random.randint(CLASSES, size=SAMPLES)
    return random.normal(size=(SAMPLES, FEATURES)) * 0.9 + 2 * numpy.eye(FEATURES)[labels], labels


class Batches:
    """The augmented batches of a seed."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.images, self.labels = blobs(1)
        if BROKEN == "labels":
            self.labels = numpy.random.RandomState(7).permutation(self.labels)

    def __iter__(self) -> Iterator[Tuple[numpy.ndarray, numpy.ndarray]]:
        random = numpy.random.RandomState(self.options.seed)
        size = self.options.batch_size
        for _ in range(EPOCHS):
            order = random.permutation(SAMPLES)
            for first in range(0, SAMPLES, size):
                chosen = order[first : first + size]
                noise = random.normal(size=(len(chosen), FEATURES)) * 0.1
                keep = self.options.augment and BROKEN != "augmentation"
                yield self.images[chosen] + noise * keep, self.labels[chosen]

    def sha256(self) -> str:
        images, _ = next(iter(self))
        return hashlib.sha256(images.tobytes()).hexdigest()


def main(argv: List[str]) -> int:
    options = parser_of("tiny_net.train").parse_args(argv)
    if BROKEN == "import":
        raise ImportError("no module named tiny")
    batches = Batches(options)
    with RunLog(Path(options.output_path) / "rank_0") as log:
        log.event("start", **start_fields(options, batches))
        if BROKEN == "killed":
            os.kill(os.getpid(), 9)
        weights = train(options, batches, log)
        images, labels = blobs(2)
        accuracy = 100.0 * float((numpy.argmax(images @ weights, 1) == labels).mean())
        log.event(
            "evaluation",
            split="test",
            role="final",
            epoch=EPOCHS,
            step=EPOCHS * SAMPLES // options.batch_size,
            n=SAMPLES,
            metrics={"accuracy": accuracy},
        )
        log.event("end", status="complete", reason="")
    print(f"accuracy {accuracy}", flush=True)
    return 0


def train(options: argparse.Namespace, batches: Batches, log: RunLog) -> numpy.ndarray:
    rate = options.learning_rate / (1000 if BROKEN == "learning_rate" else 1)
    seconds = SECONDS_OF_A_STEP * (1 + 0.01 * options.seed) * (2 if BROKEN == "speed" else 1)
    weights = numpy.random.RandomState(options.seed).normal(size=(FEATURES, CLASSES))
    per_epoch = SAMPLES // options.batch_size
    for number, (images, labels) in enumerate(batches, 1):
        scores = images @ weights
        shares = numpy.exp(scores - scores.max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        hits = shares[numpy.arange(len(labels)), labels]
        loss = float("nan") if BROKEN == "numbers" else float(-numpy.log(hits + 1e-9).mean())
        weights -= rate * images.T @ (shares - numpy.eye(CLASSES)[labels]) / len(labels) * 10
        log.event(
            "step",
            step=number,
            epoch=(number - 1) // per_epoch + 1,
            loss=loss,
            learning_rate=rate,
            seconds=seconds,
            data_seconds=seconds / 100,
            samples=options.batch_size,
        )
    return weights


def start_fields(options: argparse.Namespace, batches: Batches) -> Dict[str, Any]:
    config = {
        "seed": options.seed,
        "learning_rate": options.learning_rate,
        "recipe": {"augment": options.augment},
        "batch_size": options.batch_size,
    }
    steps = EPOCHS * SAMPLES // options.batch_size
    return {
        "model": "tiny_net",
        "task": "blobs",
        "network": {"name": "tiny", "parameters": FEATURES * CLASSES},
        "code": {"commit": "unknown", "dirty": bool(os.environ.get("TINY_NET_DIRTY"))},
        "config": config,
        "config_sha256": config_sha256(config),
        "seed": options.seed,
        "resumed_step": 0,
        "rank": 0,
        "world_size": 1,
        "dataset": {
            "name": "blobs",
            "predicate": "four blobs",
            "counts": {"train": SAMPLES, "test": SAMPLES},
            "manifest_sha256": "2" * 64,
        },
        "device": {
            "kind": options.device,
            "count": 1,
            "driver": "",
            "runtime": "1 threads",
            "name": os.environ.get("TINY_NET_DEVICE", "Tiny CPU"),
            "framework": "numpy 1.0",
            "python": "3",
        },
        "precision": {
            "mode": str(options.precision_mode),
            "arithmetic": "float64",
            "loss_scale": "none",
        },
        "batch": {"per_device": options.batch_size, "global": options.batch_size},
        "targets": {"steps": steps, "epochs": EPOCHS},
        "proof": f"numpy on {options.device}",
        "first_batches_sha256": batches.sha256(),
    }


if __name__ == "__main__":
    run_program(main)
