"""Which images are decided on with which candidates, and what the reference's ways change."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from common.core.errors import UsageError
from common.data.labelled_images import LabelledImages
from protoattend.options import TRAIN, parse_options
from protoattend.split_evaluation import (
    SplitEvaluation,
    evaluated_tests,
    evaluation_candidates,
)

pytestmark = pytest.mark.tensorflow


def _images(count):
    images = np.random.RandomState(0).randint(0, 256, (count, 8, 8, 1)).astype(np.uint8)
    return LabelledImages(images, np.arange(count, dtype=np.int32) % 3)


def _session(*words):
    return SimpleNamespace(
        options=parse_options(TRAIN, ["--eval_cand_size", "20"] + list(words)),
        dataset=SimpleNamespace(train=_images(50), test=_images(45)),
    )


def _rows(candidates):
    whole = _images(50).images
    return [
        int(np.flatnonzero((whole == image).all(axis=(1, 2, 3)))[0]) for image in candidates.images
    ]


def test_candidates_are_drawn_from_the_training_images_as_they_are():
    rows = _rows(evaluation_candidates(_session()))
    assert len(set(rows)) == 20 and rows != list(range(20))


def test_the_same_seed_gives_the_same_candidates_and_another_others():
    same = [evaluation_candidates(_session("--seed", "3")).sha256() for _ in range(2)]
    assert same[0] == same[1] != evaluation_candidates(_session("--seed", "4")).sha256()


def test_the_reference_takes_the_first_candidates_and_augments_them():
    found = evaluation_candidates(_session("--parity"))
    plain = evaluation_candidates(_session("--parity", "--augment_evaluation_candidates=false"))
    assert _rows(plain) == list(range(20))
    assert np.array_equal(found.labels, plain.labels)
    assert not np.array_equal(found.images, plain.images)


class _Asked:
    """Stands for a session and for the passes; keeps what it was asked for, and how."""

    def __init__(self):
        self.asked = []

    def run(self, what):
        self.asked.append(what)

    def fill(self, running, candidates):
        self.asked.append("fill")

    def decide(self, running, images):
        self.asked.append("decide")
        return len(images)


def _evaluation(asked, monkeypatch):
    evaluation = SplitEvaluation.__new__(SplitEvaluation)
    evaluation._session = SimpleNamespace(dataset=SimpleNamespace(validation=_images(12)))
    evaluation._share_statistics, evaluation.passes = "share", asked
    evaluation.candidates = _images(5)
    monkeypatch.setattr(evaluation, "explain", lambda decisions, images: [])
    monkeypatch.setattr(
        "protoattend.gallery.prototypes.prototypes_figure",
        lambda shown: np.zeros((2, 2, 3), np.uint8),
    )
    return evaluation


def test_an_evaluation_takes_the_first_ranks_statistics(monkeypatch):
    asked = _Asked()
    _evaluation(asked, monkeypatch).prepare(asked)
    assert asked.asked == ["share", "fill"]


def test_a_picture_which_the_first_rank_alone_draws_waits_for_no_other_rank(monkeypatch):
    asked = _Asked()
    assert set(_evaluation(asked, monkeypatch).pictures(asked, 3)) == {"prototypes"}
    assert asked.asked == ["fill", "decide"]


def test_the_whole_test_set_is_used():
    assert len(evaluated_tests(_session("--batch_size", "16"))) == 45


def test_the_reference_leaves_out_what_fills_no_batch():
    assert len(evaluated_tests(_session("--batch_size", "16", "--drop_test_tail"))) == 32


def test_a_test_set_smaller_than_a_batch_is_one_clear_line():
    with pytest.raises(UsageError, match="leaves none of 45 test images"):
        evaluated_tests(_session("--batch_size", "64", "--drop_test_tail"))
