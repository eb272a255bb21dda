"""Prepares CLEVR with tensorflow-datasets from what is on the disk, without the network.

python -m slot_attention.data.prepare_clevr --source CLEVR_v1.0.zip --data_path data
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Iterator, Optional, Sequence

from common.core.command_line import Parser, add_debug_flag, exit_code_of
from common.core.errors import ZooError
from common.core.files import TEMPORARY_PREFIX, make_folder
from common.data.unpack import unpack
from slot_attention.data.clevr import ORIGINAL_NAME, PREPARED_NAME, PREPARED_VERSION, find_clevr

# The official archive unpacks to 19 GB; what unpacks to more is another.
_LARGEST_UNPACKED = 40 * 10**9


def prepare_clevr(source: Path, data_path: Path) -> Path:
    """Prepares clevr 3.1.0 in data_path; returns the folder of its record files.

    Args:
        source: CLEVR_v1.0.zip, the folder CLEVR_v1.0, or the folder that holds it. An archive is
            unpacked to data_path/CLEVR_v1.0 and stays there.

    Raises:
        ZooError: a source that is something else, a full disk, no tensorflow-datasets.
    """
    prepared = Path(data_path) / PREPARED_NAME / PREPARED_VERSION
    if prepared.is_dir():
        return prepared
    make_folder(Path(data_path), "data_path")
    source = Path(source)
    if source.is_file():
        source = _unpacked(source, Path(data_path))
    original = find_clevr(source)
    if original.prepared:
        raise ZooError(f"{source} is prepared already: use it as data_path")
    _check_whole(original.path)
    _build(_importable_datasets(), original.path, Path(data_path))
    return prepared


def _check_whole(original: Path) -> None:
    """Raises ZooError unless there is all that the builder opens."""
    wanted = [
        place.format(split)
        for split in ("train", "val", "test")
        for place in ("images/{}", "questions/CLEVR_{}_questions.json")
    ]
    missing = [name for name in wanted if not (original / name).exists()]
    if missing:
        raise ZooError(
            "{} lacks {}, which tensorflow-datasets opens: unpack {} whole".format(
                original, ", ".join(missing), ORIGINAL_NAME
            )
        )


def _unpacked(archive: Path, data_path: Path) -> Path:
    target = data_path / ORIGINAL_NAME
    if target.is_dir():
        return target
    making = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=str(data_path)))
    try:
        unpack(archive, "zip", making, _LARGEST_UNPACKED)
        if not (making / ORIGINAL_NAME).is_dir():
            raise ZooError(f"{archive} has no folder {ORIGINAL_NAME}: it is another archive")
        os.rename(str(making / ORIGINAL_NAME), str(target))
    finally:
        shutil.rmtree(str(making), ignore_errors=True)
    return target


def _importable_datasets() -> Any:
    """The package tensorflow_datasets, after TensorFlow was set up."""
    import common.training.tensorflow.runtime  # noqa: F401 (settles eager execution before others import it)

    try:
        import tensorflow_datasets
    except ImportError as error:
        raise ZooError(
            f"tensorflow-datasets can't be imported ({error}): install it, or use the "
            f"folder {ORIGINAL_NAME} itself "
            "as data_path, which needs no preparation"
        ) from error
    return tensorflow_datasets


class _LocalFiles:
    """Stands in for a download manager: what the builder wants is on the disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.downloaded_size = 0

    def download_and_extract(self, _address: str) -> str:
        """Returns the folder that holds CLEVR_v1.0."""
        return str(self._folder)


def _build(tensorflow_datasets: Any, original: Path, data_path: Path) -> None:
    with _without_bucket(tensorflow_datasets), _holding(original) as holder:
        builder = tensorflow_datasets.builder(
            f"{PREPARED_NAME}:{PREPARED_VERSION}", data_dir=str(data_path)
        )
        builder._make_download_manager = lambda **_settings: _LocalFiles(holder)
        settings = tensorflow_datasets.download.DownloadConfig(
            compute_stats=tensorflow_datasets.download.ComputeStatsMode.SKIP
        )
        try:
            builder.download_and_prepare(download_config=settings)
        except (KeyError, ValueError, OSError) as error:
            first_line = str(error).split("\n")[0]
            raise ZooError(
                f"{original} can't be prepared: {type(error).__name__} {first_line}; unpack "
                f"{ORIGINAL_NAME} again"
            ) from error


@contextlib.contextmanager
def _without_bucket(tensorflow_datasets: Any) -> Iterator[None]:
    """Keeps tensorflow-datasets from looking for its bucket, which takes minutes to fail."""
    utilities = tensorflow_datasets.core.utils.gcs_utils
    before = utilities.is_gcs_disabled
    utilities.is_gcs_disabled = lambda: True
    try:
        yield
    finally:
        utilities.is_gcs_disabled = before


@contextlib.contextmanager
def _holding(original: Path) -> Iterator[Path]:
    """A folder in which the original is called CLEVR_v1.0, whatever its own name."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / ORIGINAL_NAME).symlink_to(original.resolve())
        yield Path(folder)


def run(argv: Optional[Sequence[str]] = None) -> None:
    """Prepares CLEVR and prints where."""
    parser = Parser(
        prog="python -m slot_attention.data.prepare_clevr",
        description=(__doc__ or "").splitlines()[0],
    )
    parser.add_argument(
        "--source", type=Path, required=True, help="CLEVR_v1.0.zip or the folder CLEVR_v1.0"
    )
    parser.add_argument("--data_path", type=Path, required=True, help="where to write clevr/3.1.0")
    add_debug_flag(parser)
    chosen = parser.parse_args(argv)
    print(prepare_clevr(chosen.source, chosen.data_path))


def main(argv: Optional[Sequence[str]] = None) -> int:
    """The entry of the command; returns the exit code."""
    return exit_code_of(run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
