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
    make_folder(Path(options.result), "--result")
    if options.obs_dir.startswith(_REMOTE):
        _moxing(options.obs_dir)  # before a training whose results could not be handed over
    data = options.data_url
    if data and data.startswith(_REMOTE):
        target = str(Path(options.result).parent / CACHE)
        _moxing(data).file.copy_parallel(data, target)
        data = target
    try:
        yield dataclasses.replace(options, data_url=data)
    finally:
        _copy(options.result, options.obs_dir)


def _copy(source: str, target: str) -> None:
    if target.startswith(_REMOTE):
        _moxing(target).file.copy_parallel(source, target)
        return
    try:
        # Not copytree: the folder may hold other runs' results, and Python 3.7's refuses it.
        for path in sorted(Path(source).rglob("*")):
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
