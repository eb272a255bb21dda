"""The splits of a run, the candidates they are decided by, and what decisions come to.

For both frameworks: how a network decides on images is handed in.
"""

from __future__ import annotations

from typing import Any, Callable, List, Mapping, Optional, Sequence

from common.core.errors import UsageError
from common.data.labelled_images import DatasetSplits, LabelledImages
from common.training.run import Evaluation
from protoattend.data.batches import evaluation_candidates, missing_classes_warning
from protoattend.gallery.explained import Explained, explained
from protoattend.metrics.decisions import Decisions
from protoattend.metrics.report import CandidateSet, Report, as_metrics, make_report

SHOWN = 8  # prototypes kept of each decision
PICTURED = 8  # of the validation images, on the way

Decide = Callable[[LabelledImages], Decisions]


class Splits:
    """What is decided on, and by which candidates.

    Attributes:
        candidates: drawn out of the training images; candidate_set: what names them.
        tests: the test images; with --drop_test_tail only those that fill batches.
    """

    def __init__(self, options: Any, dataset: DatasetSplits, say: Callable[[str], None]) -> None:
        """Draws the candidates; a class without any is told.

        Raises:
            UsageError: fewer training images than --eval_cand_size, or a test set smaller than a
                batch with --drop_test_tail.
        """
        self.options, self.dataset = options, dataset
        self.candidates = evaluation_candidates(options, dataset.train)
        self.candidate_set = CandidateSet(
            dataset.name, len(self.candidates), self.candidates.sha256()
        )
        self.tests = evaluated_tests(options, dataset.test)
        warning = missing_classes_warning(self.candidates.labels, dataset.class_names)
        if warning is not None:
            say("warning: " + warning)

    def report(
        self, decisions: Decisions, others: Optional[Mapping[str, Decisions]] = None
    ) -> Report:
        """All metrics of decisions, and how they differ from those on other sets."""
        divided = self.options.reference_denominators
        return make_report(decisions, self.candidate_set, others, divided)

    def evaluate(self, role: str, decide: Decide) -> Sequence[Evaluation]:
        """Validation on the way, by which the best checkpoint is chosen; the test at the end."""
        on_the_way = role == "progress"
        images = self.dataset.validation if on_the_way else self.tests
        found = as_metrics(self.report(decide(images)))
        if on_the_way:
            return [Evaluation("validation", len(images), found, score=found["accuracy"])]
        return [Evaluation("test", len(images), found)]

    def explain(self, decisions: Decisions, images: LabelledImages) -> List[Explained]:
        """Decisions on images with their prototypes, for people."""
        return explained(decisions, images, self.candidates, self.dataset.class_names)

    def pictures(self, decide: Decide) -> Mapping[str, bytes]:
        """The prototypes of the first validation images."""
        from common.evidence.figures.figure import png_bytes
        from protoattend.gallery.prototypes import prototypes_figure

        validation = self.dataset.validation
        images = validation.take(range(min(PICTURED, len(validation))))
        return {"prototypes": png_bytes(prototypes_figure(self.explain(decide(images), images)))}


def evaluated_tests(options: Any, tests: LabelledImages) -> LabelledImages:
    """The test images; with --drop_test_tail only those that fill batches, as the reference."""
    size = options.batch_size
    if not options.drop_test_tail:
        return tests
    if len(tests) < size:
        raise UsageError(
            f"--drop_test_tail leaves none of {len(tests)} test images with --batch_size {size}: "
            "give a smaller batch"
        )
    return tests.take(range(len(tests) // size * size))
