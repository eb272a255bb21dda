"""Twenty steps of every network, as they were: losses, evaluations and final weights.

tests/golden/training.json holds them by framework version and kind of processor. On that kind they
are the same to the bit; on another the first losses are compared, for rounding grows in later ones.
ZOO_WRITE_GOLDENS=1 writes what is found.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest

from common.machine.devices import cpu_name
from common.runs.events import effective_events, read_events
from tests.processes import start, start_ranks

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "golden" / "training.json"
STEPS = 20
FIRST_LOSSES, TOLERANCE = 5, 1e-3  # on another kind of processor
WRITES = bool(os.environ.get("ZOO_WRITE_GOLDENS"))

RESIDUAL = (
    "--dataset synthetic --network small_16input --train_batch_size 16 --limit_train 64 "
    "--limit_test 40 --validation_count 20 --pictures_every 0 --device_type cpu --train_steps 20 "
    "--evaluate_every 2 --output_path"
)
PROTOATTEND = (
    "--device cpu --dataset synthetic_shapes --img_size 12 --eval_cand_size 40 "
    "--evaluation_batch_size 16 --encoder small --batch_size 8 --example_cand_size 16 "
    "--display_step 5 --pictures_every 0 --val_step 8 --save_step 0 --num_steps 20 --output_path"
)
SLOTS = (
    "--device cpu --batch_size 4 --evaluation_batch_size 4 --evaluation_count 6 --warmup_steps 2 "
    "--log_every 5 --num_slots 3 --evaluate_every 8 --pictures_every 0 --diagnostics_every 5 "
    "--num_train_steps 20 --data_path {data} "
)
# Module, flags.
RUNS: Dict[str, Tuple[str, str]] = {
    "residual_attention": ("residual_attention_net.train", RESIDUAL),
    "object_discovery": (
        "slot_attention.object_discovery.train",
        SLOTS + "--dataset synthetic_sprites --model_dir",
    ),
    "set_prediction": (
        "slot_attention.set_prediction.train",
        SLOTS + "--dataset synthetic_scenes --resolution 32 --model_dir",
    ),
    "protoattend": ("protoattend.train", PROTOATTEND),
}
FRAMEWORK = {name: "pytorch" if "residual" in name else "tensorflow" for name in RUNS}
CASES = [
    pytest.param(name, variant, marks=getattr(pytest.mark, FRAMEWORK[name]), id=f"{name}-{variant}")
    for name in RUNS
    for variant in ("plain", "resumed", "two_ranks", "mixed")
]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few sprite scenes of 16 x 16 and 3-D scenes of 32 x 32."""
    from common.core.terminal import Terminal
    from slot_attention.synthetic.prepare import Request, write_dataset
    from slot_attention.synthetic.scenes import SceneSettings
    from slot_attention.synthetic.sprites import SpriteSettings

    folder = tmp_path_factory.mktemp("scenes")
    for name, settings in (
        ("object_discovery", SpriteSettings(image_size=(16, 16), objects=(1, 2))),
        ("set_prediction", SceneSettings(image_size=(32, 32), objects=(1, 2))),
    ):
        kind = "synthetic_sprites" if name == "object_discovery" else "synthetic_scenes"
        counts = {"train": 24, "validation": 6, "test": 6}
        write_dataset(folder / name, Request(kind, settings, counts), Terminal())
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name, variant", CASES)
def test_training_gives_what_it_gave(
    name: str, variant: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if importlib.util.find_spec("torch" if FRAMEWORK[name] == "pytorch" else "tensorflow") is None:
        pytest.skip("the framework is not installed")
    data = request.getfixturevalue("scenes") / name if "{data}" in RUNS[name][1] else ""
    module, flags = RUNS[name][0], RUNS[name][1].format(data=data).split()
    words = ["-m", module, *flags, str(tmp_path / "run")]
    if variant == "resumed":
        _run_resumed(words, tmp_path / "run")
    elif variant == "two_ranks":
        _run_two_ranks(words, FRAMEWORK[name])
    else:
        mixed = ["--precision_mode", "allow_mix_precision_bf16"]
        _finish(start([*words, *(mixed if variant == "mixed" else [])]))
    found = _found(tmp_path / "run", FRAMEWORK[name])
    # A resumed run is an undisturbed one.
    _compare(f"{name}/{'plain' if variant == 'resumed' else variant}", found, variant)


# --- ways to run ---


def _finish(*processes: subprocess.Popen[str]) -> None:
    texts = [process.communicate()[0] for process in processes]
    if any(
        "precision_mode" in text and process.returncode == 64
        for text, process in zip(texts, processes)
    ):
        pytest.skip(texts[0].strip().splitlines()[-1])
    assert [process.returncode for process in processes] == [0] * len(processes), texts


def _run_resumed(words: List[str], folder: Path) -> None:
    process = start([*words, "--checkpoint_minutes", "0"])
    log = folder / "rank_0" / "metrics.jsonl"
    while not log.exists() or '"step":7,' not in log.read_text():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    _finish(start([*words, "--resume"]))
    begun = [event for event in read_events(log) if event["event"] == "start"]
    assert 0 < begun[-1]["resumed_step"] < STEPS


def _run_two_ranks(words: List[str], framework: str) -> None:
    if framework == "tensorflow" and importlib.util.find_spec("horovod") is None:
        pytest.skip("Horovod is not installed in this environment")
    _finish(*start_ranks([*words, *(["--device_num", "2"] if framework == "pytorch" else [])]))


# --- what came out ---


def _found(folder: Path, framework: str) -> Dict[str, Any]:
    events = effective_events(folder / "rank_0" / "metrics.jsonl")
    steps = [event for event in events if event["event"] == "step"]
    return {
        "framework": events[0]["device"]["framework"],
        "losses": [event["loss"] for event in steps],
        "rates": [event["learning_rate"] for event in steps],
        "told": [
            [event["event"], *(event[name] for name in TOLD[event["event"]])]
            for event in events
            if event["event"] in TOLD
        ],
        "weights": _digest(_weights(folder / "ckpt", framework)),
    }


TOLD = {
    "epoch": ("epoch", "step", "train_loss"),
    "evaluation": ("split", "role", "epoch", "step", "n", "metrics"),
    "diagnostics": ("step", "values"),
}


def _weights(checkpoints: Path, framework: str) -> Dict[str, Any]:
    if framework == "pytorch":
        import torch

        content = torch.load(str(sorted(checkpoints.glob("step_*/weights.pt"))[-1]))
        return {name: value.numpy() for name, value in content["model"].items()}
    from common.training.tensorflow.runtime import tf

    reader = tf.train.load_checkpoint(str(sorted(checkpoints.glob("step_*"))[-1] / "weights"))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if name.startswith("network/") and ".OPTIMIZER_SLOT" not in name
    }


def _digest(weights: Dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(f"{name} {weights[name].dtype} {weights[name].shape}".encode())
        digest.update(weights[name].tobytes())
    return digest.hexdigest()


def _compare(key: str, found: Dict[str, Any], variant: str) -> None:
    framework, cpu = found.pop("framework"), cpu_name()
    kept: Dict[str, Any] = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    here = kept.setdefault(cpu, {}).setdefault(framework, {})
    if WRITES and variant != "resumed":
        here[key] = found
        GOLDEN.write_text(json.dumps(kept, sort_keys=True) + "\n")
        return
    if key in here:
        assert found == here[key]
        return
    others = [
        cases[key]["losses"][:FIRST_LOSSES]
        for frameworks in kept.values()
        for name, cases in frameworks.items()
        if name == framework and key in cases
    ]
    if not others:
        pytest.skip(f"nothing is kept of {key} with {framework}")
    assert any(
        found["losses"][:FIRST_LOSSES] == pytest.approx(one, rel=TOLERANCE) for one in others
    )
