"""On a GPU: the same batches as on a CPU, and outputs within single precision of the reference."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest
from training_helpers import events, trained

torch = pytest.importorskip("torch")

import fixture_weights as reference  # noqa: E402

from residual_attention_net.data.datasets import load_dataset  # noqa: E402
from residual_attention_net.data.draws import Augmentation  # noqa: E402
from residual_attention_net.data.loader import DeviceLoader  # noqa: E402
from residual_attention_net.network.model import build_network  # noqa: E402

pytestmark = [pytest.mark.pytorch, pytest.mark.gpu]
# Three times the distance of two correct float32 runs on CPUs, and the larger one of cuDNN's
# float32 convolutions, which add in another order.
LARGEST_DISTANCE = 1e-5


@pytest.mark.parametrize("case", ["92_32input_update", "92_32input"])
def test_logits_in_evaluation_mode_are_the_references(case: str) -> None:
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    network = reference.fill_network(build_network(case)).cuda().eval()
    with torch.no_grad():
        logits = network(reference.network_input(case, torch.float32).cuda()).cpu().numpy()
    expected = reference.load_case(case)["eval_logits"]
    assert numpy.abs(logits - expected).max() / numpy.abs(expected).max() <= LARGEST_DISTANCE


def test_batches_are_those_of_a_cpu() -> None:
    splits = load_dataset("digits")
    augmentation = Augmentation(crop_padding=4, cutout_size=8, mixup_alpha=1.0)
    loaders = [
        DeviceLoader(splits.train, 32, 0, torch.device(name), augmentation=augmentation)
        for name in ("cpu", "cuda")
    ]
    assert loaders[0].checksum(3) == loaders[1].checksum(3)
    for one, other in zip(loaders[0].epoch(0), loaders[1].epoch(0)):
        assert torch.allclose(one.inputs, other.inputs.cpu(), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "mode", ["must_keep_origin_dtype", "allow_mix_precision", "allow_mix_precision_bf16"]
)
def test_every_precision_trains_and_proves_where_it_ran(tmp_path: Path, mode: str) -> None:
    output = trained("train", tmp_path, "--device_type", "gpu", "--precision_mode", mode)
    begun = events(output, "start")[0]
    assert begun["device"]["kind"] == "gpu" and "cuda" in begun["proof"]
    assert events(output)[-1]["status"] == "complete"


def test_a_gpu_run_resumes(tmp_path: Path) -> None:
    trained("train", tmp_path, "--device_type", "gpu", "--total_epochs", "1")
    trained("train", tmp_path, "--device_type", "gpu", "--resume")
    assert len(events(tmp_path, "step")) == 8
