"""The toy networks of both engines: what they can be asked for, how they are run, what is left."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy
import pytest

from common.training.run import Evaluation, Settings, Subject
from tests import processes
from tests.processes import events

SAMPLES, FEATURES = 64, 3
PNG = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00"
    b"\x90wS\xde\x00\x00\x00\x0cIDATx\x9cc\xf8\xcf\xc0\x00\x00\x03\x01\x01\x00\xc9\xfe\x92\xef"
    b"\x00\x00\x00\x00IEND\xaeB`\x82"
)
EVERY = ("evaluate_every", "checkpoint_every", "pictures_every", "diagnostics_every")
SETTINGS: Dict[str, Any] = {
    **dict.fromkeys(EVERY, 0),
    **{"batch_size": 8, "seed": 1, "resume": False, "profile": False, "keep": 3},
}
DEFAULTS: Dict[str, Any] = {
    **SETTINGS,
    "noise": 0.1,
    "clip_norm": 0.0,
    "nan_at": -1,
    "pause": 0.0,
    "task": "regression",
    "units": 4,
    "mode": "O0",
    "batches": 0,
    "dump_tensors": 0,
    "dump_from": "",
}
ROOT = processes.CHECKOUT
HAS_HOROVOD = importlib.util.find_spec("horovod") is not None
Event = Dict[str, Any]


def run_words(run_toy: Any, words: Optional[Sequence[str]]) -> int:
    """Runs a toy by a command line: OUTPUT_PATH STEPS [name=value …]."""
    folder, steps, *given = words or []
    options: Dict[str, Any] = {}
    for word in given:
        name, text = word.split("=")
        kind = type(DEFAULTS[name])
        options[name] = text == "True" if kind is bool else kind(text)
    return int(run_toy(Path(folder), int(steps), **options))


def settings_of(options: Mapping[str, Any], output_path: Path, steps: int) -> Settings:
    """How a toy's training goes."""
    return Settings(
        Path(output_path),
        steps,
        **{name: options[name] for name in SETTINGS},
        log_every=5,
        dump_tensors=options["dump_tensors"] or None,
        dump_from=options["dump_from"] or None,
    )


def subject_of(options: Mapping[str, Any]) -> Subject:
    """What a toy's run says of itself."""
    return Subject(
        "toy",
        options["task"],
        "toy",
        {"name": "toy", "units": options["units"]},
        {
            "name": "numbers",
            "predicate": "all",
            "counts": {"train": SAMPLES},
            "manifest_sha256": "0" * 64,
        },
        {"noise": options["noise"]},
    )


def evaluation_of(size: float, step: int) -> List[Evaluation]:
    """What evaluating a toy gives; the best one is at step 10, however training goes."""
    return [Evaluation("validation", SAMPLES, {"size": size}, score=-abs(step - 10))]


class Toy:
    """The toy network of one engine."""

    def __init__(self, name: str) -> None:
        self.name, self.module = name, importlib.import_module("tests.toy_" + name)
        self.engine = getattr(self.module, "TorchEngine" if name == "torch" else "TensorFlowEngine")

    def run(self, folder: Path, steps: int, **given: Any) -> int:
        return int(self.module.run_toy(folder, steps, **given))

    def weights(self, checkpoint: Path) -> Dict[str, numpy.ndarray]:
        if self.name == "torch":
            from common.training.torch.weights_file import FILE, load

            return {name: value.numpy() for name, value in load(checkpoint / FILE)["model"].items()}
        from common.training.tensorflow.runtime import tf

        reader = tf.train.load_checkpoint(str(checkpoint / "weights"))
        return {
            name: reader.get_tensor(name)
            for name in reader.get_variable_to_shape_map()
            if name.endswith("VARIABLE_VALUE") and "save_counter" not in name
        }

    def words(self, folder: Path, steps: int, *given: str) -> List[str]:
        """The command line of a run in a process of its own."""
        return [str(ROOT / "tests" / f"toy_{self.name}.py"), str(folder), str(steps), *given]

    def start(self, folder: Path, steps: int, *given: str, **environment: str) -> Any:
        return processes.start(self.words(folder, steps, *given), **environment)

    def start_ranks(self, folder: Path, steps: int, *given: str) -> List[Any]:
        if self.name == "tensorflow" and not HAS_HOROVOD:
            pytest.skip("Horovod is not installed in this environment")
        return processes.start_ranks(self.words(folder, steps, *given))

    def run_ranks(self, folder: Path, steps: int, *given: str) -> List[str]:
        return processes.finish(*self.start_ranks(folder, steps, *given))

    def assert_same_bits(self, one: Path, other: Path) -> None:
        first, second = self.weights(one), self.weights(other)
        assert set(first) == set(second)
        assert [name for name in first if first[name].tobytes() != second[name].tobytes()] == []


def losses(folder: Path, rank: int = 0) -> List[float]:
    return [event["loss"] for event in events(folder, "step", rank)]


def kept(folder: Path) -> List[str]:
    return sorted(path.name for path in (folder / "ckpt").glob("step_*"))
