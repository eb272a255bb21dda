"""Evaluates the splits of a run's dataset with its candidates, on the way and at the end."""

from __future__ import annotations

from typing import Any, List, Mapping, Optional, Sequence

from common.core.errors import UsageError
from common.data.labelled_images import LabelledImages
from common.training.run import Evaluation
from common.training.tensorflow import runtime as tf_runtime
from protoattend.data.batches import evaluation_candidates, missing_classes_warning
from protoattend.gallery.explained import Explained, explained
from protoattend.metrics.decisions import Decisions
from protoattend.metrics.report import CandidateSet, Report, as_metrics, make_report
from protoattend.passes import PrototypePasses
from protoattend.session import Session

PICTURED = 8


def evaluated_tests(session: Session) -> LabelledImages:
    """The test images; with --drop_test_tail only those that fill batches, as the reference."""
    tests, size = session.dataset.test, session.options.batch_size
    if not session.options.drop_test_tail:
        return tests
    if len(tests) < size:
        raise UsageError(
            f"--drop_test_tail leaves none of {len(tests)} test images with --batch_size {size}: "
            "give a smaller batch"
        )
    return tests.take(range(len(tests) // size * size))


class SplitEvaluation:
    """A network, its candidates, and the splits that are decided on with them."""

    def __init__(self, session: Session, network: Any) -> None:
        """Builds the passes into the default graph.

        Raises:
            UsageError: fewer training images than --eval_cand_size, or a test set smaller than a
                batch with --drop_test_tail.
        """
        options, dataset = session.options, session.dataset
        self._session, self.network = session, network
        self.candidates = evaluation_candidates(options, dataset.train)
        self.candidate_set = CandidateSet(
            dataset.name, len(self.candidates), self.candidates.sha256()
        )
        self.passes = PrototypePasses(
            network, self.candidates, options.evaluation_batch_size, options.attention_scale
        )
        # Each rank has batch norm statistics of its own; all evaluate with those of the first.
        self._share_statistics = tf_runtime.broadcast_in_graph(
            session.device, [weight for weight in network.weights if not weight.trainable]
        )
        self.tests = evaluated_tests(session)
        warning = missing_classes_warning(self.candidates.labels, dataset.class_names)
        if warning is not None:
            session.say("warning: " + warning)

    def prepare(self, running: Any) -> None:
        """Encodes the candidates with the weights of the moment; every rank must take part."""
        running.run(self._share_statistics)
        self.passes.fill(running)

    def report(
        self, decisions: Decisions, others: Optional[Mapping[str, Decisions]] = None
    ) -> Report:
        """All metrics of decisions, and how they differ from those on other sets."""
        divided = self._session.options.reference_denominators
        return make_report(decisions, self.candidate_set, others, divided)

    def evaluate(self, running: Any, step: int, role: str) -> Sequence[Evaluation]:
        """Validation on the way, by which the best checkpoint is chosen; the test at the end."""
        self.prepare(running)
        on_the_way = role == "progress"
        images = self._session.dataset.validation if on_the_way else self.tests
        found = as_metrics(self.report(self.passes.decide(running, images)))
        if on_the_way:
            return [Evaluation("validation", len(images), found, score=found["accuracy"])]
        return [Evaluation("test", len(images), found)]

    def explain(self, decisions: Decisions, images: LabelledImages) -> List[Explained]:
        """Decisions on images with their prototypes, for people."""
        return explained(decisions, images, self.candidates, self._session.dataset.class_names)

    def pictures(self, running: Any, step: int) -> Mapping[str, bytes]:
        """The prototypes of the first validation images.

        Only the first rank draws, so nothing here may wait for the others.
        """
        from common.evidence.figures.figure import png_bytes
        from protoattend.gallery.prototypes import prototypes_figure

        self.passes.fill(running)
        validation = self._session.dataset.validation
        images = validation.take(range(min(PICTURED, len(validation))))
        shown = self.explain(self.passes.decide(running, images), images)
        return {"prototypes": png_bytes(prototypes_figure(shown))}
