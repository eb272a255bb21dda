"""One pass of a network over a split: batches on the device, metrics on the host."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterator, Optional, Tuple

from common.machine.ranks import ALONE
from common.training.tensorflow.description import Inputs
from common.training.tensorflow.of_step import step_seed
from common.training.tensorflow.runtime import tf
from slot_attention.data.batches import EvaluationOrder
from slot_attention.data.pipeline import scene_batches
from slot_attention.network.architecture import GAUSSIAN, SlotSettings
from slot_attention.session import Session


def drawn_noise(settings: SlotSettings, batch: int, seed: tf.Tensor) -> Optional[tf.Tensor]:
    """Standard normal noise (batch, K, D) for the initial slots; None where they are learned."""
    if settings.initial != GAUSSIAN:
        return None
    return tf.random.stateless_normal([batch, settings.count, settings.size], seed=seed)


def training_noise(inputs: Inputs, settings: SlotSettings, batch: int) -> Dict[str, tf.Tensor]:
    """The noise of a training step by name: "slots", or nothing where they are learned."""
    drawn = drawn_noise(
        settings, batch, step_seed(inputs.seed, inputs.step, "slots", inputs.device.place.rank)
    )
    return {} if drawn is None else {"slots": inputs.noise("slots", drawn)}


class ScenePass:
    """Runs what a network makes of a split, scene by scene in order.

    Noise depends on the run's seed and the batch alone: the same weights give the same figures.
    """

    def __init__(
        self,
        session: Session,
        split: str,
        count: Optional[int],
        settings: SlotSettings,
        fields: Any,
        outputs: Callable[[Dict[str, Any], Any], Dict[str, Any]],
        shared: bool = True,
    ) -> None:
        """Builds the pass into the default graph.

        Args:
            count: scenes of all ranks together, rounded up to whole batches; None for all.
            fields: of a batch: image, mask, target.
            outputs: from a batch and its noise to the tensors that are wanted, by name.
            shared: whether ranks divide the split between them, or each sees all of it.
        """
        size = session.options.evaluation_batch_size
        place = session.place if shared else ALONE
        scenes = len(session.dataset.split(split).images)
        order = EvaluationOrder(scenes, size, place.rank, place.world_size)
        batches = scene_batches(session.dataset, split, order, fields, session.workers)
        if count is not None:
            batches = batches.take(-(-count // (size * place.world_size)))
        numbered = tf.data.Dataset.zip((tf.data.Dataset.range(2**31 - 1), batches))
        self._iterator = tf.data.make_initializable_iterator(numbered)
        number, batch = self._iterator.get_next()
        seed = step_seed(session.options.seed, number, "evaluation", place.rank)
        self._outputs = dict(
            outputs(batch, drawn_noise(settings, size, seed)), valid=batch["valid"]
        )

    @property
    def names(self) -> Tuple[str, ...]:
        """Of all outputs."""
        return tuple(name for name in self._outputs if name != "valid")

    def run(self, session: Any, *names: str) -> Iterator[Dict[str, Any]]:
        """Yields the named outputs of every batch, without the scenes that only fill it up."""
        wanted = {name: self._outputs[name] for name in names + ("valid",)}
        session.run(self._iterator.initializer)
        while True:
            try:
                values = session.run(wanted)
            except tf.errors.OutOfRangeError:
                return
            valid = int(values.pop("valid"))
            yield {name: _cut(value, valid) for name, value in values.items()}

    def first(self, session: Any, count: int) -> Dict[str, Any]:
        """All outputs of the first scenes, at most a batch."""
        session.run(self._iterator.initializer)
        values = session.run(self._outputs)
        valid = min(count, int(values.pop("valid")))
        return {name: _cut(value, valid) for name, value in values.items()}


def _cut(value: Any, valid: int) -> Any:
    return [part[:valid] for part in value] if isinstance(value, list) else value[:valid]
