"""Evaluates a checkpoint, or explains its decisions: metrics, curves, a gallery, a record."""

from __future__ import annotations

from typing import Callable, Tuple

from common.training.run import Evaluation
from common.training.torch import step as torch_step
from common.training.torch.session import Evaluator, run_evaluation
from protoattend.kept import asked_to_explain
from protoattend.reports import TestReport, explain
from protoattend.runs import Asked, asked_for, subject_of
from protoattend.splits import Splits
from protoattend_torch.network import PrototypeNetwork
from protoattend_torch.options import Options
from protoattend_torch.passes import PrototypePasses, passes_of
from protoattend_torch.session import MODEL, Session, load_weights, open_session


def run(options: Options) -> int:
    """Evaluates --checkpoint and writes what came out; returns the exit code."""
    asked = asked_for(options, "evaluation")
    session = open_session(asked.options, asked.dataset)

    def build() -> Evaluator:
        splits, passes = _opened(session, asked)
        report = TestReport(splits, asked.found)

        def evaluate(heartbeat: Callable[[], None]) -> Evaluation:
            return report.evaluate(passes.fill, passes.decide)

        return Evaluator(passes.network, evaluate, lambda found: report.files())

    subject = subject_of(MODEL, session.options, session.dataset, asked.architecture)
    return run_evaluation(session, asked.folder, subject, asked.found.step, build)


def run_explanation(options: Options) -> int:
    """Explains --images, or test images; writes pictures and a gallery; returns the exit code."""
    asked = asked_to_explain(options)
    with open_session(asked.options, asked.dataset) as session:
        splits, passes = _opened(session, asked)
        passes.fill()
        explain(splits, asked, passes.decide)
    return 0


def _opened(session: Session, asked: Asked) -> Tuple[Splits, PrototypePasses]:
    """What is decided on, and the network with the checkpoint's weights that decides."""
    network = PrototypeNetwork(asked.architecture)
    load_weights(network, asked.found)
    network = torch_step.prepare_evaluation(session.placed(network).eval(), session.precision)
    splits = Splits(session.options, session.dataset, session.say)
    return splits, passes_of(session, network, splits)
