"""Makes the READMEs' pictures from trained networks: right decisions, one picture a network.

    python scripts/lib/readme_pictures.py --slots RUN --prototypes RUN --masks RUN

A RUN is the folder of a finished training, such as output/quickstart/protoattend/smoke after
scripts/quickstart.sh; what is not given is not made anew. The pictures go to docs/pictures.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any, List, Mapping, Optional, Sequence

CHECKOUT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "PyTorch"), str(CHECKOUT / "TensorFlow")]

from common.core.command_line import Parser, run_program  # noqa: E402
from common.core.errors import ZooError  # noqa: E402
from common.core.files import write_atomically  # noqa: E402

PICTURES = CHECKOUT / "docs" / "pictures"
SCENES, DECISIONS, IMAGES = 4, 5, 2
LOOKED_AT = 64  # test images among which right decisions are looked for


def slots(run: str, data_path: Optional[str]) -> bytes:
    """Four test scenes of object discovery, without the rows of attention."""
    from dataclasses import replace

    from slot_attention.evaluation import run_evaluation
    from slot_attention.object_discovery.task import TASK
    from slot_attention.options import OBJECT_DISCOVERY, parse_options

    flags = [f"--checkpoint_dir={run}", f"--evaluation_count={LOOKED_AT}", "--device=cpu"]
    flags += [f"--data_path={data_path or Path(run) / 'data'}", "--dataset=synthetic_sprites"]

    def draw(session: Any, values: Mapping[str, Any]) -> bytes:
        few = {name: value[:SCENES] for name, value in values.items()}
        return TASK.draw(session, dict(few, attention=()))

    with tempfile.TemporaryDirectory() as folder:
        options = parse_options(OBJECT_DISCOVERY, "eval", flags + [f"--model_dir={folder}"])
        run_evaluation(options, replace(TASK, draw=draw))
        return (Path(folder) / "slots.png").read_bytes()


def prototypes(run: str, data_path: Optional[str]) -> bytes:
    """Right decisions of different classes, with three prototypes or more each."""
    from common.evidence.figures.figure import png_bytes
    from common.training.tensorflow import runtime
    from protoattend.explanation import explain
    from protoattend.gallery.prototypes import prototypes_figure
    from protoattend.options import EXPLAIN, parse_options
    from protoattend.restoring import restore

    flags = [f"--checkpoint={run}", f"--gallery_count={LOOKED_AT}", "--device=cpu"]
    flags += [f"--data_path={data_path}"] if data_path else []
    with tempfile.TemporaryDirectory() as folder:
        restored = restore(parse_options(EXPLAIN, flags + [f"--output_path={folder}"]), "")
        decisions, _ = explain(restored)
        runtime.close_device(restored.session.device)
    by_class = {one.label: one for one in decisions if one.right and len(one.prototypes) > 2}
    if len(by_class) < DECISIONS:
        raise ZooError(f"{run}: only {len(by_class)} right decisions; give a better training")
    return png_bytes(prototypes_figure(list(by_class.values())[:DECISIONS]))


def masks(run: str, data_path: Optional[str]) -> bytes:
    """The attention masks over the surest right decisions, of different classes."""
    from common.evidence.figures.figure import png_bytes
    from residual_attention_net.attention import attention_view
    from residual_attention_net.data.samples import Samples, dataset_samples
    from residual_attention_net.pictures import attention_figure
    from residual_attention_net.predict import predict
    from residual_attention_net.trained_network import named_classes, open_trained
    from residual_attention_net.visualize import read_run

    found = read_run(Path(run))
    trained = open_trained(str(found.weights), device_type="cpu")
    name, own_path = found.dataset()
    samples, classes = dataset_samples(
        str(name), data_path or own_path, LOOKED_AT, trained.input_size
    )
    shares = predict(trained.network, samples.images)
    order = sorted(range(len(samples)), key=lambda place: -shares[place].max())
    right = {
        samples.truths[n]: n for n in reversed(order) if shares[n].argmax() == samples.truths[n]
    }
    chosen: List[int] = sorted(right.values(), key=order.index)[:IMAGES]
    if len(chosen) < IMAGES:
        raise ZooError(f"{run}: only {len(chosen)} right decisions; give a better training")
    view = attention_view(
        trained.network,
        Samples(
            samples.images[chosen],
            tuple(samples.names[place] for place in chosen),
            tuple(samples.truths[place] for place in chosen),
        ),
        named_classes(trained, classes),
        f"{trained.network.spec.name} on {name}",
        trained.forward_context,
    )
    return png_bytes(attention_figure(view))


FILES = {
    "slots": ("slot_attention.png", slots),
    "prototypes": ("protoattend.png", prototypes),
    "masks": ("residual_attention_net.png", masks),
}


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Writes the pictures of the runs that are given."""
    parser = Parser(prog="readme_pictures.py", description=__doc__.split("\n", 1)[0])
    for kind, (name, _) in FILES.items():
        parser.add_argument(f"--{kind}", metavar="RUN", help=f"the training that {name} shows")
    parser.add_argument("--data_path", help="the folder of the runs' data (default: theirs)")
    arguments = parser.parse_args(argv)
    for kind, (name, make) in FILES.items():
        run = getattr(arguments, kind)
        if run:
            write_atomically(PICTURES / name, make(run, arguments.data_path))
            print(f"wrote {PICTURES / name}", flush=True)
    return 0


if __name__ == "__main__":
    run_program(main)
