"""Every flag changes something; each test is named for its flag, or a case of CHANGES is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, Tuple

import pytest
import torch
from PIL import Image
from torch import nn
from training_helpers import (
    SMALL,
    checkpoint_of,
    events,
    finish,
    free_port,
    run,
    start,
    trained,
)

from common.core.errors import UsageError
from common.training.torch.ranks import SynchronisedBatchNorm
from common.training.torch.runtime import channels_last_pays
from residual_attention_net.network.model import build_network
from residual_attention_net.options import PROGRAMS, parse_options
from residual_attention_net.session import Session, open_session, open_stepper
from residual_attention_net.training import plan_of, settings_of

pytestmark = [pytest.mark.pytorch, pytest.mark.long]
# Those that are there for others' scripts and change nothing.
WELCOME = ("help", "data_dump_step", "local_rank", "data_dump_flag", "over_dump", "autotune")
DEFAULT_LAYOUT = channels_last_pays("cpu")


def opened(*flags: str) -> Session:
    """A session on the CPU; flags given here win over those of SMALL."""
    return open_session(parse_options("train", SMALL + list(flags)))


def first_batch(session: Session) -> Any:
    return next(iter(session.train_loader.epoch(0)))


def test_every_flag_has_its_test() -> None:
    flags = {action.dest for action in PROGRAMS["train"].parser()._actions} - set(WELCOME)
    tests = " ".join(name for name in globals() if name.startswith("test_"))
    assert {flag for flag in flags - set(CHANGES) if "_" + flag not in tests} == set()


def shapes(session: Session) -> Tuple[int, ...]:
    """Of an input and of what the network makes of it."""
    inputs = first_batch(session).inputs
    return tuple(inputs.shape[2:]) + tuple(session.network(inputs).shape[1:])


def in_channels_last(batch: Any) -> bool:
    return batch.inputs.is_contiguous(memory_format=torch.channels_last)


def synchronised(session: Session) -> bool:
    return SynchronisedBatchNorm in {type(part) for part in session.network.modules()}


def evaluated_batches(session: Session) -> int:
    return len(list(session.evaluation_loader(session.splits.test).batches()))


# Of a session s: words, what is looked at, what is found with them, what without.
CHANGES: Dict[str, Tuple[str, Callable[[Any], Any], Any, Any]] = {
    "validation_count": ("7", lambda s: s.splits.counts["validation"], 7, 20),
    "limit_train": ("50", lambda s: len(s.splits.train), 50, 64),
    "limit_test": ("30", lambda s: len(s.splits.test), 30, 40),
    "dataset": (
        "digits --network=attention56_cifar",
        lambda s: s.splits.name[:5],
        "digit",
        "synth",
    ),
    "network": ("attention56_cifar --dataset=digits", lambda s: s.network.spec.input_size, 32, 16),
    "num_classes": ("11", lambda s: s.network.fc.out_features, 11, 10),
    "spatial_dims": ("3 --dataset=synthetic_volumes", shapes, (16, 16, 16, 10), (16, 16, 10)),
    "recipe": ("long", lambda s: first_batch(s).mixed_targets is None, False, True),
    "total_epochs": ("3", lambda s: plan_of(s)[0], 12, 8),
    "train_steps": ("5", lambda s: plan_of(s)[0], 5, 8),
    "train_batch_size": ("32", lambda s: s.train_loader.batches_per_epoch, 2, 4),
    "test_batch_size": ("20", evaluated_batches, 2, 1),
    "learning_rate": ("0.03", lambda s: plan_of(s)[1].peak, 0.03, 0.1),
    "scale_learning_rate": (
        "false --train_batch_size=128 --limit_train=256",
        lambda s: plan_of(s)[1].peak,
        0.1,
        0.1,
    ),
    "channels_last": ("true", lambda s: in_channels_last(first_batch(s)), True, DEFAULT_LAYOUT),
    "loader": ("torchvision", lambda s: type(s.train_loader).__name__[:6], "Torchv", "Device"),
    "workers": ("1 --loader=torchvision", lambda s: getattr(s.train_loader, "workers", 0), 1, 0),
    "precision_mode": ("O0", lambda s: s.precision.requested, "O0", "must_keep_origin_dtype"),
    "sync_batch_norm": ("true", synchronised, True, False),
    "device_type": ("cpu", lambda s: s.device.kind, "cpu", "cpu"),
    "opt_level": ("O0", lambda s: s.precision.requested, "O0", "must_keep_origin_dtype"),
    "seed": ("1", lambda s: settings_of(s).seed, 1, 0),
    "output_path": ("x", lambda s: settings_of(s).output_path.name, "x", "output"),
    "resume": ("true", lambda s: settings_of(s).resume, True, False),
    "log_every": ("2", lambda s: settings_of(s).log_every, 2, 20),
    "evaluate_every": ("2", lambda s: settings_of(s).evaluate_every, 8, 4),
    "pictures_every": ("2", lambda s: settings_of(s).pictures_every, 8, 0),
    "checkpoint_minutes": ("1", lambda s: settings_of(s).checkpoint_seconds, 60, 600),
    "keep_checkpoints": ("1", lambda s: settings_of(s).keep, 1, 3),
    "profiling": ("true", lambda s: settings_of(s).profile, True, False),
    "dump_tensors": ("2", lambda s: settings_of(s).dump_tensors, 2, None),
    "dump_from": ("run", lambda s: settings_of(s).dump_from, "run", None),
}


@pytest.mark.parametrize("flag", CHANGES)
def test_a_flag_changes_the_session(flag: str) -> None:
    words, look, changed, usual = CHANGES[flag]
    if "torchvision" in words:
        pytest.importorskip("torchvision")
    assert look(opened(*f"--{flag}={words}".split())) == changed
    assert look(opened()) == usual


def test_data_path(tmp_path: Path) -> None:
    for name, shade in (("dark", 10), ("light", 200)):
        (tmp_path / name).mkdir()
        for number in range(20):
            image = Image.new("RGB", (20, 20), (shade, number, 0))
            image.save(str(tmp_path / name / f"{number}.png"))
    flags = f"--dataset images --data_path {tmp_path} --train_batch_size 4 --validation_count 4"
    session = opened(*flags.split(), "--limit_train=20", "--limit_test=8")
    assert session.splits.class_names == ("dark", "light")
    assert session.network.num_classes == 2


def test_is_pretrain_and_pth_path(tmp_path: Path) -> None:
    weights = checkpoint_of(tmp_path / "weights", build_network("small_16input", 10))
    flags = ["--is_pretrain", "--pth_path", str(weights), "--train_steps", "1"]
    done = run("train", tmp_path / "run", *flags)
    assert done.returncode == 0 and "loaded " in done.stdout


def test_pth_path_tells_the_network(tmp_path: Path) -> None:
    weights = checkpoint_of(tmp_path, build_network("small_16input", 12))
    words = [word for word in SMALL if word not in ("--network", "small_16input")]
    options = parse_options("evaluate", words + ["--pth_path", str(weights)])
    session = open_session(options, training=False)
    assert (session.options.network, session.network.num_classes) == ("small_16input", 12)


def test_is_train_false_only_evaluates(tmp_path: Path) -> None:
    weights = checkpoint_of(tmp_path / "weights", build_network("small_16input", 10))
    output = trained("train", tmp_path / "run", "--is_train=false", "--pth_path", str(weights))
    assert [event["role"] for event in events(output, "evaluation")] == ["final"]
    assert events(output, "step") == []


def largest_change(*flags: str) -> float:
    """How far one step moves the weights."""
    session = opened(*flags)
    stepper = open_stepper(session)
    before = [weight.detach().clone() for weight in session.network.parameters()]
    batch = first_batch(session)
    stepper.step(100.0 * nn.functional.cross_entropy(stepper.model(batch.inputs), batch.targets))
    return max(
        float((weight.detach() - old).abs().max())
        for weight, old in zip(session.network.parameters(), before)
    )


def test_clip_gradient_norm() -> None:
    assert largest_change("--clip_gradient_norm", "0.001") < 0.01 * largest_change()


@pytest.mark.parametrize("by_url", [False, True])
def test_device_id_and_device_num_and_dist_url(tmp_path: Path, by_url: bool) -> None:
    """Rank and world size; the address or the environment says where the ranks meet."""
    port = str(free_port())
    meeting = {} if by_url else {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    flags = ["--device_num", "2", "--train_steps", "1"]
    flags += ["--dist_url", f"tcp://127.0.0.1:{port}"] if by_url else []
    ranks = (
        start("train", tmp_path, *flags, "--device_id", str(rank), **meeting) for rank in range(2)
    )
    finish(*ranks)
    begun = [events(tmp_path, "start", rank)[0] for rank in range(2)]
    assert [(event["rank"], event["world_size"]) for event in begun] == [(0, 2), (1, 2)]


def test_loss_scale() -> None:
    with pytest.raises(UsageError, match="--loss_scale 128 would change nothing"):
        opened("--loss_scale", "128")


def test_compile() -> None:
    session = opened("--compile")
    if not hasattr(torch, "compile"):
        with pytest.raises(UsageError, match="--compile needs torch 2"):
            open_stepper(session)
        return
    assert open_stepper(session).model is not session.network


def test_debug(tmp_path: Path) -> None:
    assert "Traceback" in run("train", tmp_path / "b", "--resume", "--debug").stdout
