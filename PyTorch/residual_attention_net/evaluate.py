"""Evaluates weights on the test set: python -m residual_attention_net.evaluate --help."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Optional, Sequence

from common.core.command_line import run_program
from common.core.files import make_folder, write_atomically
from common.core.stop_signal import StopSignal
from common.runs.events import RunLog, telling_the_end
from common.training.pictures import FOLDER, drawn_or_told
from common.training.torch import runtime as torch_runtime
from common.training.torch import step as torch_step
from residual_attention_net.evaluation import Evaluation, evaluate
from residual_attention_net.options import Options, parse_options
from residual_attention_net.run_events import open_run_log, start_event
from residual_attention_net.run_pictures import masks_of
from residual_attention_net.session import Session, open_session
from residual_attention_net.training import Targets
from residual_attention_net.weights import load_weights


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Evaluates --pth_path; returns the exit code."""
    return evaluate_weights(parse_options("evaluate", argv))


def evaluate_weights(options: Options) -> int:
    """Prints accuracy and loss of --pth_path on the whole test set, and records them."""
    make_folder(Path(options.output_path), "--output_path")
    try:
        _evaluate(open_session(options, training=False))
    finally:
        torch_runtime.leave_process_group()
    return 0


def _evaluate(session: Session) -> None:
    report = load_weights(session.network, str(session.options.pth_path))
    network = torch_step.prepare_evaluation(session.network, session.precision)
    with open_run_log(session) as log, telling_the_end(log, StopSignal()):
        log.event("start", **start_event(session, Targets(0, 0, 0), 0))
        began = time.time()
        result = evaluate(
            network,
            session.test_loader,
            session.device.device,
            session.network.num_classes,
            lambda: torch_step.forward_context(session.device, session.precision),
            lambda: log.event("heartbeat", what="test"),
        )
        log.event(
            "evaluation",
            split="test",
            role="final",
            epoch=0,
            step=0,
            n=result.n,
            metrics=result.metrics(),
        )
        if session.is_first:
            _print(session, result, report.lines(), time.time() - began)
            if session.options.pictures_every:
                drawn_or_told("attention_masks.png", lambda: _draw(session, log), print)


def _draw(session: Session, log: RunLog) -> None:
    """Writes the masks over a few test images to pictures/ and TensorBoard."""
    folder = make_folder(Path(session.options.output_path) / FOLDER, "--output_path")
    weights = f"weights {Path(str(session.options.pth_path)).name}"
    pictures = masks_of(session, session.splits.test, "test", weights)
    for name, png in pictures.items():
        write_atomically(folder / f"{name}.png", png)
    log.pictures(0, pictures)


def _print(session: Session, result: Evaluation, told: Sequence[str], seconds: float) -> None:
    for line in told:
        print(line)
    print(
        f"Accuracy of the model (current weights) on the {result.n} test images: "
        f"{result.accuracy:.2f} %"
    )
    print(f"loss {result.loss:.4f}, {result.n / max(1e-9, seconds):.1f} images/s")
    for name, accuracy in zip(session.splits.test.classes, result.per_class):
        print(f"  {name:<12} {accuracy:6.2f} %", flush=True)


if __name__ == "__main__":
    run_program(main)
