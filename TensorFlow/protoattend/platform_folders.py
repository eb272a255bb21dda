"""ModelArts keeps data and results in object storage: fetches the data, hands the results over."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import shutil
from pathlib import Path
from typing import Any, Callable, Iterator, Optional, Sequence

from common.core.errors import InfrastructureError, ZooError
from common.core.files import make_folder
from protoattend.data.batches import check_images_suffice
from protoattend.data.datasets import dataset_of
from protoattend.options import MODELARTS, TRAIN, RunOptions

_REMOTE = ("obs://", "s3://")
CACHE = "dataset"  # beside --result


@contextlib.contextmanager
def on_platform(options: RunOptions) -> Iterator[RunOptions]:
    """The options with local folders; on ModelArts results are copied to --obs_dir at the end.

    They are copied after an error as well, so that no checkpoint is lost.
    """
    if options.platform != MODELARTS:
        yield options
        return
    source, target, data = options.result, options.obs_dir, options.data_url
    make_folder(Path(source), "--result")
    # Asked for now: not after a training whose results could not be handed over.
    hand_over = _moxing(target).file.copy_parallel if _is_remote(target) else _copy
    if _is_remote(data):
        here = str(Path(source).parent / CACHE)
        _moxing(data).file.copy_parallel(data, here)
        options = dataclasses.replace(options, data_url=here)
    try:
        yield options
    finally:
        hand_over(source, target)


def training_main(
    parse: Callable[[str, Any], RunOptions], module: str
) -> Callable[[Optional[Sequence[str]]], int]:
    """The main of a training, by its module's run_training(options, dataset)."""

    def main(argv: Optional[Sequence[str]] = None) -> int:
        with on_platform(parse(TRAIN, argv)) as options:
            dataset = dataset_of(options)
            check_images_suffice(options, dataset.train)
            # After flags and data: a framework takes seconds to import, a wrong flag should not.
            code: int = importlib.import_module(module).run_training(options, dataset)
            return code

    return main


def _is_remote(address: Any) -> bool:
    return bool(address) and address.startswith(_REMOTE)


def _copy(source: str, target: str) -> None:
    try:
        # Not copytree: the folder may hold other runs' results, and Python 3.7's refuses it.
        for path in Path(source).rglob("*"):
            if path.is_file():
                place = Path(target) / path.relative_to(source)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(str(path), str(place))
    except OSError as error:
        raise InfrastructureError(
            f"results can't be copied from {source} to --obs_dir {target} ({error.strerror}); "
            "they are whole in --result"
        ) from error


def _moxing(address: str) -> Any:
    try:
        import moxing
    except ImportError as error:
        raise ZooError(
            f"{address} needs moxing, which ModelArts' images have: run there, or give a local "
            "folder"
        ) from error
    return moxing
