"""Weights, inputs and results of the reference: see tests/fixtures/README.md for what is what."""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy
import torch
from torch import nn

FIXTURES = Path(__file__).resolve().parents[3] / "tests" / "fixtures" / "residual_attention_net"
VARIANTS = ("92_32input_update", "92_32input", "56", "92", "448input")
STATISTICS = (".running_mean", ".running_var")
COUNTER = ".num_batches_tracked"
BY_CHILD = ("eval_act", "eval_actdot", "train_act", "train_actdot")
BY_PARAMETER = ("eval_gradnorm", "eval_graddot", "gradnorm", "graddot", "sgd1_dnorm")


def random_state(name: str) -> numpy.random.RandomState:
    """Return the generator that belongs to an entry's name."""
    return numpy.random.RandomState(zlib.crc32(name.encode()) & 0xFFFFFFFF)


def fill(name: str, shape: Tuple[int, ...]) -> numpy.ndarray:
    """Return the value of one state_dict entry under the fixtures' fill rule."""
    if name.endswith(COUNTER):
        return numpy.zeros(shape, numpy.int64)
    normal = random_state(name).standard_normal(shape)
    if name.endswith(".running_var"):
        value = 1 + 0.1 * numpy.abs(normal)
    elif name.endswith((".bias", ".running_mean")):
        value = 0.05 * normal
    elif len(shape) == 1:
        value = 1 + 0.1 * normal
    else:
        value = normal * numpy.sqrt(1 / numpy.prod(shape[1:]))
    return value.astype(numpy.float32)


def filled_state_dict(shapes: Dict[str, Tuple[int, ...]]) -> Dict[str, torch.Tensor]:
    """Return a state_dict of these shapes under the fill rule."""
    return {
        name: torch.from_numpy(numpy.asarray(fill(name, shape))) for name, shape in shapes.items()
    }


def fill_network(network: nn.Module) -> nn.Module:
    """Give every entry of a network's state_dict its value under the fill rule."""
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    network.load_state_dict(filled_state_dict(shapes))
    return network


def projection(name: str, values: numpy.ndarray) -> float:
    """Return the sum of values times the dot vector of that name."""
    return float(numpy.sum(values * random_state(name).standard_normal(values.shape)))


@dataclass(frozen=True)
class ReferenceModel:
    """What one reference network is made of."""

    parameters: int
    multiply_accumulates: int
    shapes: Dict[str, Tuple[int, ...]]
    children: Tuple[str, ...]
    dead_in_original: Dict[str, Tuple[int, ...]]

    def trained(self) -> List[str]:
        """Return the names of the parameters, in order."""
        return [name for name in self.shapes if not name.endswith(STATISTICS + (COUNTER,))]

    def statistics(self) -> List[str]:
        """Return the names of the running statistics, in order."""
        return [name for name in self.shapes if name.endswith(STATISTICS)]


@lru_cache(maxsize=None)
def reference_models() -> Dict[str, ReferenceModel]:
    """Return the reference networks by name."""
    with gzip.open(str(FIXTURES / "models.json.gz"), "rt", encoding="utf-8") as stream:
        models = json.load(stream)
    return {
        name: ReferenceModel(
            entry["parameters"],
            entry["multiply_accumulates"],
            {name: tuple(shape) for name, shape in entry["state_dict"]},
            tuple(entry["children"]),
            {name: tuple(shape) for name, shape in entry["dead_in_original"]},
        )
        for name, entry in models.items()
    }


@lru_cache(maxsize=None)
def load_case(variant: str) -> Dict[str, Any]:
    """Return a variant's float64 results by name, groups as dictionaries by child or parameter."""
    model = reference_models()[variant]
    with numpy.load(str(FIXTURES / f"{variant}.npz"), allow_pickle=False) as stored:
        found = {key: stored[key] for key in stored.files}
    for groups, names in ((BY_CHILD, model.children), (BY_PARAMETER, model.trained())):
        for group in groups:
            if group in found:
                found[group] = dict(zip(names, found[group]))
    found["bn1"] = _split(found["bn1"], {name: model.shapes[name] for name in model.statistics()})
    return found


def _split(joined: numpy.ndarray, shapes: Dict[str, Tuple[int, ...]]) -> Dict[str, numpy.ndarray]:
    ends = numpy.cumsum([numpy.prod(shape) for shape in shapes.values()]).astype(int)
    return dict(zip(shapes, numpy.split(joined, ends[:-1])))


def network_input(variant: str, dtype: torch.dtype) -> torch.Tensor:
    """Return the images as (B, C, H, W), divided by 255 in float32 as the reference does."""
    images = numpy.ascontiguousarray(load_case(variant)["input_uint8"].transpose(0, 3, 1, 2))
    return torch.from_numpy(images).float().div(255).to(dtype)
