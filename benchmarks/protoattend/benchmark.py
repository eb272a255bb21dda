"""Speed of ProtoAttend's training step, ours against the plain baseline in the same run."""

from __future__ import annotations

import sys
from typing import Any, List, Mapping

import numpy as np

from benchmarks.harness import BASELINE, OWN_MODES, Benchmark, Case, chosen_on_tensorflow, main
from common.core.command_line import Parser, number_in

BATCH_SIZE, CANDIDATES = 128, 1024
SHAPE, CLASSES = (28, 28, 1), 10
DATABASE = 512  # candidates of evaluations, which no step touches: enough to have every class
VALIDATED = 8  # images of splits that are not looked at


def add_flags(parser: Parser) -> None:
    """--candidates."""
    whole = number_in(int, 1)
    parser.add_argument("--candidates", type=whole, default=CANDIDATES, help="per step")


def cases(arguments: Any) -> List[Case]:
    """One: so many queries, each over all candidates."""
    sizes = {
        "batch_size": arguments.batch_size or BATCH_SIZE,
        "candidates": arguments.candidates,
    }
    text = "{batch_size} queries and {candidates} candidates".format(**sizes)
    return [Case("", text, sum(sizes.values()), arguments.steps or 1, sizes)]


def open_trainer(name: str, device_kind: str, sizes: Mapping[str, Any]) -> Any:
    """Makes a variant ready on random images in memory."""
    from benchmarks.worker import trainer_of_batches, trainer_of_graph

    queries, candidates = sizes["batch_size"], sizes["candidates"]
    if name == BASELINE:
        # Standardised batches: what makes them costs the baseline nothing.
        from benchmarks.protoattend import baseline

        random = np.random.RandomState(0)
        step = baseline.trainer(
            {
                "images": random.standard_normal((queries, *SHAPE)).astype(np.float32),
                "candidates": random.standard_normal((candidates, *SHAPE)).astype(np.float32),
                "labels": random.randint(0, CLASSES, queries).astype(np.int32),
            }
        )
        return trainer_of_batches(lambda: None, step)
    from protoattend.building import build_training
    from protoattend.data.batches import Batches
    from protoattend.runs import architecture_of, schedule_of
    from protoattend.training import make_batches

    session = _session(OWN_MODES[name], device_kind, queries, candidates)
    about = session.options, session.dataset
    return trainer_of_graph(
        build_training(session, architecture_of(*about), schedule_of(*about, 1)),
        make_batches(Batches(session.dataset.train, session.options)),
        session.options.random_seed,
        session.device,
        session.precision,
    )


def _session(mode: str, device_kind: str, queries: int, candidates: int) -> Any:
    """What protoattend.train opens, with random images in place of a dataset."""
    from benchmarks.worker import open_on_tensorflow
    from common.training.tensorflow import runtime as tf_runtime
    from protoattend.network.attention import IN_FLOAT32
    from protoattend.options import TRAIN, parse_options
    from protoattend.session import Session

    options = parse_options(TRAIN, words_of(device_kind, queries, candidates))
    tf_runtime.keep_in_float32(IN_FLOAT32)
    tf_runtime.keep_host_memory()
    device, precision = open_on_tensorflow(mode, device_kind)
    return Session(options, device, precision, random_dataset(queries, candidates))


def words_of(device_kind: str, queries: int, candidates: int) -> List[str]:
    """The flags of the published training step, in either framework."""
    words = [f"--device={device_kind}", f"--batch_size={queries}", f"--eval_cand_size={DATABASE}"]
    return [*words, f"--example_cand_size={candidates}"]


def random_dataset(queries: int, candidates: int) -> Any:
    """Random images, enough for a few steps."""
    from common.data.labelled_images import DatasetSplits, LabelledImages, numbered_names

    def images(count: int, seed: int) -> LabelledImages:
        random = np.random.RandomState(seed)
        pixels = random.randint(0, 256, (count, *SHAPE)).astype(np.uint8)
        labels = random.randint(0, CLASSES, count).astype(np.int32)
        return LabelledImages(pixels, labels, numbered_names(CLASSES))

    return DatasetSplits(
        name="random",
        predicate="random",
        train=images(2 * (queries + candidates) + DATABASE, 0),
        validation=images(VALIDATED, 1),
        test=images(VALIDATED, 2),
        manifest_sha256="",
    )


BENCHMARK = Benchmark(
    network="protoattend",
    framework="tensorflow",
    variants=(BASELINE, *OWN_MODES),
    cases=cases,
    chosen=chosen_on_tensorflow,
    targets={(1, "ours_fp32"): 1.5, (2, "ours_fp32"): 1.0, (2, "ours_bf16"): 1.5},
    open_trainer=open_trainer,
    most_wait=0.05,
    repeats=8,
    add_flags=add_flags,
)

if __name__ == "__main__":
    sys.exit(main(BENCHMARK))
