"""The fake network's entry point; each --…_at_step flag makes rank --bad_rank misbehave there."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List

from common.core.command_line import run_program
from common.runs.events import RunLog, effective_events
from fake_net.options import parser_of

STEPS_PER_EPOCH = 5


class Stop:
    """Remembers the signal that asks for an end."""

    def __init__(self, ignore: bool) -> None:
        self.number = 0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN if ignore else self._take)

    def _take(self, number: int, frame: Any) -> None:
        self.number = number


def main(argv: List[str]) -> int:
    options = parser_of("fake_net.train").parse_args(argv)
    rank = int(os.environ.get("RANK", "0"))
    bad = rank == options.bad_rank and options.bad_seed in (-1, options.seed)
    stop = Stop(options.ignore_sigterm)
    folder = Path(options.output_path)
    tell_of_this_process(options, rank)
    if options.leave_a_child:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path("child.pid").write_text(str(child.pid))
    done = last_step(folder, rank) if options.resume else 0
    target = options.train_steps or options.total_epochs * STEPS_PER_EPOCH
    with RunLog(folder / f"rank_{rank}") as log:
        log.event("start", **start_fields(options, rank, done, target))
        if not options.only_evaluate and not options.no_steps:
            code = train(options, log, stop, bad, range(done + 1, target + 1))
            if code:
                return code
        finish(options, log, folder, rank, target)
    return 0


def tell_of_this_process(options: argparse.Namespace, rank: int) -> None:
    print(f"rank {rank} of fake_net, seed {options.seed}, weights {options.pth_path}")
    Path("process.json").write_text(
        json.dumps(
            {
                "pid": os.getpid(),
                "environment": dict(os.environ),
                "argv": sys.argv[1:],
                "cores": sorted(os.sched_getaffinity(0)),
            }
        )
    )


def last_step(folder: Path, rank: int) -> int:
    events = effective_events(folder / f"rank_{rank}" / "metrics.jsonl")
    return max([event["step"] for event in events if event["event"] == "step"], default=0)


def train(options: argparse.Namespace, log: RunLog, stop: Stop, bad: bool, steps: range) -> int:
    for step in steps:
        time.sleep(options.step_seconds)
        misbehave(options, step, bad)
        if stop.number:
            save(options, log, step - 1)
            log.event("end", status="interrupted", reason="signal")
            print(f"saved at step {step - 1}", flush=True)
            return 128 + stop.number
        log.event(
            "step",
            step=step,
            epoch=(step - 1) // STEPS_PER_EPOCH + 1,
            loss=1.0 / step,
            learning_rate=0.1,
            seconds=0.01,
            data_seconds=0.0001,
            samples=options.train_batch_size * options.device_num,
        )
        print(f"step {step} loss {1.0 / step:.3f}", flush=True)
        if options.save_every and step % options.save_every == 0:
            save(options, log, step)
    return 0


def misbehave(options: argparse.Namespace, step: int, bad: bool) -> None:
    if bad and step == options.fail_at_step:
        print("error: asked to fail", flush=True)
        sys.exit(options.fail_code)
    if bad and step == options.kill_at_step:
        os.kill(os.getpid(), signal.SIGKILL)
    while bad and step == options.hang_at_step:
        time.sleep(1)


def save(options: argparse.Namespace, log: RunLog, step: int) -> None:
    folder = Path(options.output_path) / "ckpt"
    folder.mkdir(exist_ok=True)
    (folder / f"step_{step}.pt").write_text(str(step))
    log.event("checkpoint", step=step, epoch=0, path=str(folder), sha256="0" * 64)


def finish(options: argparse.Namespace, log: RunLog, folder: Path, rank: int, target: int) -> None:
    if rank == 0 and not options.only_evaluate:
        save(options, log, target)
        (folder / "ckpt" / "best.pt").write_text("best")
    if not options.no_evaluation:
        log.event(
            "evaluation",
            split="test",
            role="final",
            epoch=1,
            step=target,
            n=100,
            metrics={"accuracy": 97.25 - options.seed, "loss": 0.1},
        )
    log.event("end", status="complete", reason="")


def start_fields(options: argparse.Namespace, rank: int, done: int, target: int) -> Dict[str, Any]:
    return {
        "model": "fake_net",
        "task": "counting",
        "network": {"name": "fake"},
        "code": {"commit": "unknown", "dirty": False},
        "config": {"seed": options.seed},
        "config_sha256": "1" * 64,
        "seed": options.seed,
        "resumed_step": done,
        "rank": rank,
        "world_size": options.device_num,
        "dataset": {
            "name": "none",
            "predicate": "none",
            "counts": {"train": 1, "test": 100},
            "manifest_sha256": "2" * 64,
        },
        "device": {
            "kind": options.device_type,
            "name": "fake",
            "count": options.device_num,
            "driver": "",
            "runtime": "",
            "framework": "none",
            "python": "3",
        },
        "precision": {
            "mode": str(options.precision_mode),
            "arithmetic": "float32",
            "loss_scale": "none",
        },
        "batch": {
            "per_device": options.train_batch_size,
            "global": options.train_batch_size * options.device_num,
        },
        "targets": {"steps": target, "epochs": options.total_epochs},
        "proof": "fake",
    }


if __name__ == "__main__":
    run_program(main)
