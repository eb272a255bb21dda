"""Evaluates weights on the test set: python -m residual_attention_net.evaluate --help."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Callable, Optional, Sequence

from common.core.command_line import run_program
from common.core.files import make_folder
from common.training.evaluation_run import Files
from common.training.pictures import FOLDER
from common.training.run import Evaluation
from common.training.torch import step as torch_step
from common.training.torch.session import Evaluator, run_evaluation
from residual_attention_net.evaluation import AccuracyLines, evaluate
from residual_attention_net.network.weights import load_weights
from residual_attention_net.options import Options, parse_options
from residual_attention_net.session import Session, open_session, subject_of


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Evaluates --pth_path; returns the exit code."""
    return evaluate_weights(parse_options("evaluate", argv))


def evaluate_weights(options: Options) -> int:
    """Prints accuracy and loss of --pth_path on the whole test set, and records them."""
    folder = Path(options.output_path)
    if folder.resolve() in Path(str(options.pth_path)).resolve().parents:
        folder = folder / "evaluation"  # the training's own stays what it is
    make_folder(folder, "--output_path")
    session = open_session(options, training=False)
    size = options.train_batch_size
    about = (session, str(folder), subject_of(session), 0)
    return run_evaluation(*about, lambda: _evaluator(session), AccuracyLines, size)


def _evaluator(session: Session) -> Evaluator:
    options = session.options
    said = load_weights(session.network, str(options.pth_path))
    network = torch_step.prepare_evaluation(session.network, session.precision)
    loader = session.evaluation_loader(session.splits.test)

    def evaluated(heartbeat: Callable[[], None]) -> Evaluation:
        began = time.time()
        found = evaluate(network, loader, session.device.device, session.forward_context, heartbeat)
        speed = found.n / max(1e-9, time.time() - began)
        said.append(f"loss {found.loss:.4f}, {speed:.1f} images/s")
        classes = zip(session.splits.class_names, found.per_class)
        said.extend(f"  {name:<12} {accuracy:6.2f} %" for name, accuracy in classes)
        return found.told("test")

    def files(found: Evaluation) -> Files:
        print("\n".join(said), flush=True)
        content = {"split": found.split, "n": found.n, "metrics": dict(found.metrics)}
        told: Files = {"metrics.json": json.dumps(content, indent=1) + "\n"}
        if not options.pictures_every:
            return told
        from residual_attention_net.pictures import MASKS, masks_of

        weights = f"weights {Path(str(options.pth_path)).name}"
        return {**told, f"{FOLDER}/{MASKS}.png": lambda: masks_of(session, "test", weights)}

    return Evaluator(session.network, evaluated, files)


if __name__ == "__main__":
    run_program(main)
