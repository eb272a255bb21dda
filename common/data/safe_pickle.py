"""Reads data from a pickle without running anything the pickle asks for.

A pickle is a program that may call any importable function. Here every name it asks for is
looked up in a short list of our own recorders, so that nothing of numpy, nothing of the
standard library and nothing of the project is ever called on the file's behalf.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np

from common.core.errors import ZooError

# What a damaged or hostile pickle makes the standard unpickler raise.
_UNPICKLING_FAILURES = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)

_PLAIN_DTYPES = frozenset("uif")


class StoredArray:
    """A numpy array as a pickle describes it, rebuilt from its bytes by `to_numpy` only."""

    __slots__ = ("_data", "_dtype", "_fortran_order", "_shape")

    def __init__(self) -> None:
        self._shape: tuple[int, ...] = ()
        self._dtype = np.dtype(np.uint8)
        self._fortran_order = False
        self._data = b""

    def __setstate__(self, state: Any) -> None:
        """Takes numpy's pickled state: (version, shape, dtype, is Fortran order, bytes)."""
        _version, shape, stored_dtype, fortran_order, data = state
        if not isinstance(stored_dtype, StoredDtype):
            raise pickle.UnpicklingError("an array without a plain dtype")
        # Python 2 strings read with encoding latin1 arrive as text of the same byte values.
        content = data.encode("latin1") if isinstance(data, str) else data
        if not isinstance(content, bytes):
            raise pickle.UnpicklingError("an array without its bytes")
        self._data = content
        self._shape = tuple(int(length) for length in shape)
        self._dtype = stored_dtype.to_numpy()
        self._fortran_order = bool(fortran_order)

    def to_numpy(self) -> np.ndarray:
        """The array, read-only over the bytes of the file."""
        values: np.ndarray = np.frombuffer(self._data, self._dtype)
        if self._fortran_order:
            return values.reshape(self._shape, order="F")
        return values.reshape(self._shape)


class StoredDtype:
    """A plain number type (integer, unsigned or float) as a pickle describes it."""

    __slots__ = ("_byte_order", "_code")

    def __init__(self, code: str) -> None:
        if code[:1] not in _PLAIN_DTYPES or not code[1:].isdigit():
            raise pickle.UnpicklingError(f"array dtype {code!r} is not a plain number")
        self._code = code
        self._byte_order = "="

    def __setstate__(self, state: Any) -> None:
        """Takes numpy's pickled state, of which only the byte order (index 1) matters here."""
        byte_order = _as_text(state[1])
        if byte_order not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError("unknown byte order in an array dtype")
        self._byte_order = byte_order

    def to_numpy(self) -> np.dtype:
        """The numpy dtype."""
        return np.dtype(self._byte_order + self._code)


class _Recorders:
    """Stand-ins for the few functions that pickled arrays and bytes call.

    They are bound methods of an object made for one file: a pickle can't set attributes on
    them, so that one file can't change how the next is read.
    """

    def reconstruct(self, _subtype: object, _shape: object, _code: object) -> StoredArray:
        return StoredArray()

    def dtype(self, code: object, _align: object = False, _copy: object = True) -> StoredDtype:
        return StoredDtype(_as_text(code))

    def encode(self, text: object, encoding: object) -> bytes:
        if not isinstance(text, str) or _as_text(encoding) not in ("latin1", "latin-1"):
            raise pickle.UnpicklingError("bytes in an encoding other than latin1")
        return text.encode("latin1")

    def empty_bytes(self) -> bytes:
        return b""

    def table(self) -> dict[tuple[str, str], object]:
        """The allow-list: (module, name) as files of numpy 1, numpy 2 and Python 2 say them."""
        return {
            ("numpy.core.multiarray", "_reconstruct"): self.reconstruct,
            ("numpy._core.multiarray", "_reconstruct"): self.reconstruct,
            ("numpy", "ndarray"): "numpy.ndarray",
            ("numpy", "dtype"): self.dtype,
            ("_codecs", "encode"): self.encode,
            ("builtins", "bytes"): self.empty_bytes,
            ("__builtin__", "bytes"): self.empty_bytes,
        }


class _ForbiddenName(pickle.UnpicklingError):
    """The pickle asks for a name that is not in the allow-list."""


class _DataUnpickler(pickle.Unpickler):
    """The standard unpickler with the allow-list in place of imports."""

    def __init__(self, content: bytes, encoding: str) -> None:
        # fix_imports=False: names are compared as the file spells them.
        super().__init__(io.BytesIO(content), fix_imports=False, encoding=encoding)
        self._allowed = _Recorders().table()

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._allowed[(module, name)]
        except KeyError:
            raise _ForbiddenName(f"{module}.{name}") from None


def load_data_pickle(content: bytes, source: str, encoding: str = "bytes") -> object:
    """Numbers, text, bytes, tuples, lists, dictionaries and plain arrays out of a pickle.

    Args:
        content: the whole pickle, of any protocol, written by Python 2 or 3.
        source: the file's name for the error line.
        encoding: what Python 2 strings become: "bytes", or "latin1" for text.

    Returns:
        The object; every array in it is a `StoredArray`.

    Raises:
        ZooError: the pickle asks for anything else, or is damaged. Nothing of it was run.
    """
    try:
        return _DataUnpickler(content, encoding).load()
    except _ForbiddenName as error:
        raise ZooError(
            f"{source}: refused, this pickle asks for '{error}', which data has no need of: "
            "get the file again from its publisher"
        ) from None
    except _UNPICKLING_FAILURES as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ZooError(
            f"{source}: not a readable data pickle ({reason}): get the file again"
        ) from None


def _as_text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin1")
    if isinstance(value, str):
        return value
    raise pickle.UnpicklingError("text expected in an array description")
