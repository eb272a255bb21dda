"""ModelArts keeps data and results in object storage: fetches the data, hands the results over."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from pathlib import Path
from typing import Any, Iterator

from common.core.errors import InfrastructureError, ZooError
from common.core.files import make_folder
from protoattend.options import MODELARTS, Options

_REMOTE = ("obs://", "s3://")
CACHE = "dataset"  # beside --result


@contextlib.contextmanager
def on_platform(options: Options) -> Iterator[Options]:
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
