"""Numbers out of bytes, a column at a time: exact, and without a Python object for each."""

from __future__ import annotations

import dataclasses
import re
from typing import Tuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

WIDTH = 24
_ALWAYS_FITS = 18  # so many digits fit into 64 bits whatever they are
_MOST_BEFORE_ONE_MORE = 10**17
# Up to here whole numbers and powers of ten are exact in 64 and in 80 bits, so that one
# multiplication or division of the two is rounded once.
_EXACT = 2**53
_POWERS = 10.0 ** np.arange(23)
_LONG_POWERS = np.array([10], np.longdouble) ** np.arange(28)
_HAS_LONG = bool(np.finfo(np.longdouble).nmant >= 63)
_WHOLE_POWERS = 10 ** np.arange(19, dtype=np.int64)
_ANY_NUMBER = re.compile(
    rb"(?P<plain>[-+]?(?:[0-9]{1,64}(?:\.[0-9]{0,64})?|\.[0-9]{1,64})(?:[eE][-+]?[0-9]{1,4})?"
    rb'|[-+]?(?:nan|inf(?:inity)?))|"(?P<quoted>-?(?:nan|inf))"|(?P<none>null)',
    re.IGNORECASE,
)
_MAY_FOLLOW = np.zeros(256, bool)
_MAY_FOLLOW[[ord(letter) for letter in " \t\r\n,;)]}%"]] = True


@dataclasses.dataclass(frozen=True)
class Scanned:
    """What was found at N places.

    Attributes:
        values: (N,) float64, or int64 where whole numbers were asked for.
        ends: (N,) int64, where the text after each begins.
        good: (N,) bool, whether a number was there.
        given: (N,) bool, False where the log says null in place of a number.
    """

    values: np.ndarray
    ends: np.ndarray
    good: np.ndarray
    given: np.ndarray


@dataclasses.dataclass(frozen=True)
class _Digits:
    """mantissa / 10 ** decimals, without its sign; no number where there is no digit.

    length counts bytes, count digits; overflow is where the mantissa is not all of them.
    """

    mantissa: np.ndarray
    decimals: np.ndarray
    negative: np.ndarray
    length: np.ndarray
    count: np.ndarray
    overflow: np.ndarray


def windows(array: np.ndarray, starts: np.ndarray, width: int) -> np.ndarray:
    """The (N, width) bytes from each start on; the array must go on that far."""
    view = as_strided(array, (len(array) - width + 1, width), (1, 1), writeable=False)
    return np.asarray(view[starts])


def _scan_digits(array: np.ndarray, starts: np.ndarray, with_point: bool) -> _Digits:
    """Reads a sign, digits and at most one point, as far as they go."""
    columns = np.ascontiguousarray(windows(array, starts, WIDTH).T)
    negative = columns[0] == 45
    signed = negative | (columns[0] == 43)
    alive, after_point, overflow = (np.full(len(starts), one) for one in (True, False, False))
    mantissa = np.zeros(len(starts), np.int64)
    decimals, length, count = (np.zeros(len(starts), np.int8) for _ in range(3))
    for position, column in enumerate(columns):
        digit = column - np.uint8(48)
        going_on = is_digit = digit < 10
        if with_point:
            is_point = (column == 46) & ~after_point
            going_on = is_digit | is_point
        alive &= (going_on | signed) if position == 0 else going_on
        if not alive.any():
            break
        taken = is_digit & alive
        if position >= _ALWAYS_FITS:
            overflow |= taken & (mantissa > _MOST_BEFORE_ONE_MORE)
            mantissa[overflow] = 0
        mantissa = np.where(taken, mantissa * 10 + digit, mantissa)
        count += taken
        length += alive
        if with_point:
            decimals += taken & after_point
            after_point |= is_point & alive
    return _Digits(mantissa, decimals, negative, length, count, overflow)


def scan_integers(array: np.ndarray, starts: np.ndarray) -> Scanned:
    """Reads whole numbers of at most 15 digits."""
    found = _scan_digits(array, starts, with_point=False)
    good = (found.count > 0) & (found.count <= 15) & ~found.overflow
    values = np.where(found.negative, -found.mantissa, found.mantissa)
    return Scanned(values, starts + found.length, good, good)


def scan_numbers(array: np.ndarray, starts: np.ndarray) -> Scanned:
    """Reads numbers in any spelling; each is the float64 nearest to what is written."""
    found = _scan_digits(array, starts, with_point=True)
    ends = starts + found.length
    plain = (found.count > 0) & (found.length < WIDTH) & ~found.overflow
    power = -found.decimals.astype(np.int64)
    with_exponent = np.flatnonzero(plain & ((array[ends] | 32) == ord("e")))
    if len(with_exponent):
        exponent = _scan_digits(array, ends[with_exponent] + 1, with_point=False)
        plain[with_exponent] = (exponent.count > 0) & (exponent.count < 5)
        power[with_exponent] += np.where(exponent.negative, -exponent.mantissa, exponent.mantissa)
        ends[with_exponent] += 1 + exponent.length
    values, sure = _scaled(found.mantissa, power)
    values[found.negative] *= -1.0
    good = plain & sure
    given = good.copy()
    for row in np.flatnonzero(~good):
        value, end = _any_number(array, int(starts[row]))
        good[row], given[row] = end > 0, value is not None
        values[row], ends[row] = (0.0 if value is None else value), max(end, int(starts[row]))
    return Scanned(values, ends, good, given)


def _scaled(mantissa: np.ndarray, power: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """mantissa * 10 ** power as float64, and where that is sure to be the nearest one."""
    sure = (mantissa <= _EXACT) & (np.abs(power) < len(_POWERS))
    size = _POWERS[np.minimum(np.abs(power), len(_POWERS) - 1)]
    values = mantissa / size
    upward = np.flatnonzero(power > 0)
    values[upward] = mantissa[upward] * size[upward]
    rest = np.flatnonzero(~sure & (np.abs(power) < len(_LONG_POWERS)))
    if _HAS_LONG and len(rest):
        values[rest], sure[rest] = _scaled_long(mantissa[rest], power[rest])
    return values, sure


def _scaled_long(mantissa: np.ndarray, power: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """The same by longer arithmetic; unsure near the middle between two float64s."""
    size = _LONG_POWERS[np.abs(power)]
    exact = np.where(power > 0, mantissa * size, mantissa / size)
    values = exact.astype(np.float64)
    half = np.spacing(values).astype(np.longdouble) / 2
    from_middle = np.abs(np.abs(exact - values) - half)
    return values, np.asarray(from_middle > 4 * np.spacing(exact))


def _any_number(array: np.ndarray, start: int) -> Tuple[object, int]:
    """One number in a spelling that is not plain: (value or None for null, end or 0)."""
    match = _ANY_NUMBER.match(bytes(array[start : start + 160]))
    if match is None:
        return None, 0
    if match.group("none"):
        return None, start + match.end()
    return float(match.group("plain") or match.group("quoted")), start + match.end()


def scan_durations(array: np.ndarray, starts: np.ndarray) -> Scanned:
    """Reads `[N days, ]H:MM:SS[.ffffff]` as seconds, as Python's timedelta writes it."""
    first = scan_integers(array, starts)
    hours, days = first.values.copy(), np.zeros(len(starts), np.int64)
    cursor, good = first.ends.copy(), first.good.copy()
    with_days = np.flatnonzero(good & (array[cursor] == 32))
    if len(with_days):
        days[with_days] = hours[with_days]
        cursor[with_days], good[with_days] = _after_days(array, cursor[with_days])
        rest = scan_integers(array, cursor[with_days])
        hours[with_days], cursor[with_days] = rest.values, rest.ends
        good[with_days] &= rest.good
    good &= (array[cursor] == 58) & (hours >= 0)
    minutes = scan_integers(array, cursor + 1)
    good &= minutes.good & (minutes.ends == cursor + 3) & (array[minutes.ends] == 58)
    seconds = _scan_digits(array, minutes.ends + 1, with_point=True)
    good &= (seconds.count - seconds.decimals == 2) & (seconds.decimals <= 9) & ~seconds.negative
    good &= (array[minutes.ends + 1] != 43) & ~seconds.overflow
    whole = days * 86400 + hours * 3600 + minutes.values * 60
    decimals = np.where(good, seconds.decimals, 0)
    good &= np.abs(whole) < _EXACT // _WHOLE_POWERS[decimals]
    values = (np.where(good, whole, 0) * _WHOLE_POWERS[decimals] + seconds.mantissa) / _POWERS[
        decimals
    ]
    return Scanned(values, minutes.ends + 1 + seconds.length, good, good)


def _after_days(array: np.ndarray, cursor: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Where the hours begin after ` day, ` or ` days, `, and whether that is what stands there."""
    text = windows(array, cursor, 7)
    one = (text[:, :6] == np.frombuffer(b" day, ", np.uint8)).all(axis=1)
    several = (text == np.frombuffer(b" days, ", np.uint8)).all(axis=1)
    return cursor + np.where(several, 7, np.where(one, 6, 0)), one | several


def stands_alone(array: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Whether a number that ends here is whole, not the beginning of a longer word or number."""
    in_number = (array[ends] == 44) & (array[ends + 1] - np.uint8(48) < 10)
    return np.asarray(_MAY_FOLLOW[array[ends]] & ~in_number)
