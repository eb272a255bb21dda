"""Dumps of a step, with both engines: the right tensors, and a training that does not notice."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

import numpy as np
import pytest

from common.core.errors import UsageError
from common.evidence.divergence.comparing import WITHIN, compare_dumps
from common.runs.dump import Dump, find_dump
from tests.toys import Toy, events, losses


@pytest.fixture()
def dumped(toy: Toy, tmp_path: Path) -> Path:
    """A run of six steps that stored the third."""
    toy.run(tmp_path / "dumped", 6, dump_tensors=3)
    return tmp_path / "dumped"


def tensors(dump: Dump) -> Dict[Any, np.ndarray]:
    names = [(entry.kind, entry.name) for entry in dump.index.tensors]
    return dict(zip(names, dump.tensors(dump.index.tensors)))


def test_training_does_not_notice(toy: Toy, dumped: Path, tmp_path: Path) -> None:
    toy.run(tmp_path / "plain", 6)
    toy.run(tmp_path / "from", 6, dump_from=str(dumped))
    for name in ("plain", "from"):
        toy.assert_same_bits(*(one / "ckpt/step_00000006" for one in (dumped, tmp_path / name)))
    assert losses(dumped) == losses(tmp_path / "plain")
    assert losses(dumped)[2:] == losses(tmp_path / "from")
    stored = tensors(find_dump(dumped))
    assert float(stored["loss", "loss"]) == pytest.approx(losses(dumped)[2], abs=1e-6)


def test_everything_is_stored_in_execution_order_as_the_next_step_begins_with_it(
    toy: Toy, dumped: Path, tmp_path: Path
) -> None:
    toy.run(tmp_path / "next", 6, dump_tensors=4)
    before, found = find_dump(tmp_path / "next").inputs("weight before"), tensors(find_dump(dumped))
    assert all(np.array_equal(found["weight", name], value) for name, value in before.items())
    kinds = [entry.kind for entry in find_dump(dumped).index.tensors]
    assert list(dict.fromkeys(kinds)) == ["activation", "loss", "gradient", "weight"]
    assert (kinds.count("gradient"), kinds.count("weight")) == (4, 4)


@pytest.mark.tensorflow
def test_another_run_repeats_the_step_from_the_dump_and_is_no_source_itself(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")  # whose noise a dump holds
    toy = Toy("tensorflow")
    toy.run(tmp_path / "own", 6, dump_tensors=3)
    toy.run(tmp_path / "again", 6, seed=2, dump_from=str(tmp_path / "own"))
    outcome = compare_dumps(find_dump(tmp_path / "own"), find_dump(tmp_path / "again"))
    assert outcome.verdict == WITHIN
    assert max(item.relative for item in outcome.differences) == 0
    assert [event["step"] for event in events(tmp_path / "again", "step")] == [3, 4, 5, 6]
    with pytest.raises(UsageError, match="give that one to --dump_from"):
        toy.run(tmp_path / "third", 3, dump_from=str(tmp_path / "again"))


@pytest.mark.parametrize(
    "given, said",
    [
        ({"dump_tensors": 9}, "step 9 is to be stored, but training ends at step 6"),
        ({"dump_from": "{}", "resume": True}, "give one of them"),
        ({"dump_from": "{}", "units": 5}, "give the flags of that run"),
        ({"dump_from": "{}", "batch_size": 4}, "--batch_size included"),
        ({"dump_from": "{}", "dump_tensors": 2}, "holds no dump of step 2"),
        ({"dump_from": "nowhere"}, "holds no dump"),
    ],
)
def test_flags_that_do_not_fit_are_refused(
    toy: Toy, given: Any, said: str, dumped: Path, tmp_path: Path
) -> None:
    given = {name: str(dumped) if value == "{}" else value for name, value in given.items()}
    with pytest.raises(UsageError, match=said):
        toy.run(tmp_path / "run", 6, **given)


def test_a_resumed_run_that_passed_the_step_says_so(toy: Toy, dumped: Path, capsys) -> None:
    toy.run(dumped, 8, dump_tensors=3, resume=True)
    assert "step 3 is stored already" in capsys.readouterr().out
    toy.run(dumped, 9, dump_tensors=2, resume=True)
    assert "step 2 can't be stored any more" in capsys.readouterr().out


@pytest.mark.slow
def test_of_two_ranks_the_first_one_stores_and_training_does_not_notice(
    toy: Toy, tmp_path: Path
) -> None:
    toy.run_ranks(tmp_path / "with", 5, "dump_tensors=3")
    toy.run_ranks(tmp_path / "without", 5)
    toy.assert_same_bits(*(tmp_path / name / "ckpt/step_00000005" for name in ("with", "without")))
    assert find_dump(tmp_path / "with").subject.world_size == 2
