"""What each kind of event says, as one class a kind: how a run log is read where it is evidence."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Dict, Iterator, Mapping, Optional, Tuple, Type, Union

import attrs

from common.core.codec import AnyFloat, at_least, between, key, one_of, structured
from common.core.errors import ZooError

COMPLETE = "complete"
_COUNT = at_least(0)
_YEAR_9000 = 2.2e11


@dataclasses.dataclass(frozen=True)
class Code:
    """The state of the sources: commit is "unknown" outside a git checkout."""

    commit: str
    dirty: bool


@dataclasses.dataclass(frozen=True)
class Dataset:
    """What was learned from; predicate says how each split was made, counts how large it is."""

    name: str
    predicate: str
    counts: Dict[str, int]
    manifest_sha256: str


@dataclasses.dataclass(frozen=True)
class Device:
    """What the run computed on; kind is npu, gpu or cpu, count the number of ranks."""

    kind: str
    name: str
    count: int
    driver: str
    runtime: str
    framework: str
    python: str


@dataclasses.dataclass(frozen=True)
class PrecisionUsed:
    """mode is what was asked for, arithmetic what it was on this device, loss_scale the policy."""

    mode: str
    arithmetic: str
    loss_scale: str


@attrs.frozen
class BatchSizes:
    """Samples in a batch of one device, in one optimizer step of the whole job."""

    per_device: int = attrs.field(validator=at_least(1))
    total: int = attrs.field(validator=at_least(1), metadata=key("global"))


@attrs.frozen
class Targets:
    """What the run is to do; both 0 where it only evaluates."""

    steps: int = attrs.field(validator=_COUNT)
    epochs: int = attrs.field(validator=_COUNT)


def network_mistakes(network: Mapping[str, Any]) -> Iterator[Tuple[str, str]]:
    """What keeps a network from being told by its name and, if given, its parameters."""
    if not isinstance(network.get("name"), str):
        yield "network.name", "must be text"
    if type(network.get("parameters", 0)) is not int:
        yield "network.parameters", "must be a whole number"


@attrs.frozen(kw_only=True)
class Event:
    """What every event says: when it was, in seconds since 1970."""

    ignores_other_keys = True
    time: float = attrs.field(validator=between(-1, _YEAR_9000))


@attrs.frozen(kw_only=True)
class Start(Event):
    """A process begins, or goes on from the checkpoint of resumed_step."""

    model: str
    task: str
    command: str = ""
    config: Dict[str, Any]
    config_sha256: str
    code: Code
    network: Dict[str, Any]
    dataset: Dataset
    device: Device
    precision: PrecisionUsed
    batch: BatchSizes
    seed: int
    targets: Targets
    resumed_step: int = attrs.field(default=0, validator=_COUNT)
    first_batches_sha256: Optional[str] = None
    proof: str = ""

    def mistakes(self) -> Iterator[Tuple[str, str]]:
        """See network_mistakes."""
        return network_mistakes(self.network)


@attrs.frozen(kw_only=True)
class Step(Event):
    """One optimizer step, or several of a loop on the device, of the whole job."""

    step: int = attrs.field(validator=_COUNT)  # 0 where the loss scale skipped the first
    epoch: int = attrs.field(validator=_COUNT)
    loss: Optional[AnyFloat]
    learning_rate: AnyFloat
    seconds: float = attrs.field(validator=_COUNT)
    data_seconds: Optional[float]
    samples: int = attrs.field(validator=_COUNT)
    skipped: Union[bool, int] = False

    @property
    def is_finite(self) -> bool:
        """Whether there is a loss that is a finite number."""
        return self.loss is not None and math.isfinite(self.loss)


@attrs.frozen(kw_only=True)
class Epoch(Event):
    """An epoch ended; peak_memory in bytes."""

    epoch: int = attrs.field(validator=_COUNT)
    step: int = attrs.field(validator=_COUNT)
    train_loss: Optional[AnyFloat]
    peak_memory: Optional[int] = None


@attrs.frozen(kw_only=True)
class Evaluated(Event):
    """A split was evaluated, n samples of it; step is that of the weights."""

    split: str
    role: str = attrs.field(validator=one_of("progress", "final", "best"))
    epoch: int = attrs.field(validator=_COUNT)
    step: int = attrs.field(validator=_COUNT)
    n: int = attrs.field(validator=_COUNT)
    metrics: Dict[str, AnyFloat]


@attrs.frozen(kw_only=True)
class Checkpoint(Event):
    """A checkpoint was written."""

    step: int = attrs.field(validator=_COUNT)
    sha256: str


@attrs.frozen(kw_only=True)
class DeviceSeen(Event):
    """What was seen of the device until the end."""

    proof: str


@attrs.frozen(kw_only=True)
class End(Event):
    """How the process ended."""

    status: str = attrs.field(validator=one_of(COMPLETE, "interrupted", "failed"))
    reason: str = ""


@attrs.frozen(kw_only=True)
class Launch(Event):
    """The launcher's last word on one life of a run; seconds are its own, on the clock."""

    case: str
    command: str
    exit_code: int
    reason: str
    seconds: float = attrs.field(validator=_COUNT)
    log_sha256: str


KINDS: Mapping[str, Type[Event]] = {
    "start": Start,
    "step": Step,
    "epoch": Epoch,
    "evaluation": Evaluated,
    "checkpoint": Checkpoint,
    "device": DeviceSeen,
    "end": End,
    "launch": Launch,
}


def typed(event: Mapping[str, Any], where: str) -> Event:
    """An event as its class; kinds that no record is made from (heartbeat, …) as a plain Event.

    Args:
        where: what errors call the run log.

    Raises:
        ZooError: a key is missing or has a wrong type; log, event and key are named.
    """
    kind = event.get("event")
    if not isinstance(kind, str):
        raise ZooError(f"{where}: an event's kind must be a text, not {kind!r:.60}")
    place = f" of step {event['step']!r:.20}" if "step" in event else ""
    return structured(event, KINDS.get(kind, Event), f"{where}: {kind} event{place}")
