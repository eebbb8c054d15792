"""Stack or concatenate values without changing them: each value keeps its kind, or there is an error."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "PLAIN",
    "UnlikeKindsError",
    "as_array",
    "common_dtype",
    "concatenate",
    "object_array",
    "stack",
    "stack_arrays",
]

Array = npt.NDArray[Any]

KINDS = {"b": "bool", "S": "bytes", "U": "str", "T": "str", "M": "datetime", "m": "timedelta", "V": "record"}
KINDS |= dict.fromkeys("iufc", "number")
UNCHANGED = (bool, float, complex, np.number, np.bool_)
PLAIN = (np.ndarray, np.memmap, np.matrix, np.recarray)  # classes of arrays that are no more than their data


class UnlikeKindsError(TypeError):
    """The error for values that do not fit unchanged into one array, such as text and numbers."""


def stack(values: Sequence[Any]) -> Array:
    """Stack values of one shape into an array that holds each of them unchanged.

    Numbers of several types get a type that holds each of them exactly. Bytes, and text that ends with NUL characters,
    become objects, as arrays of NumPy would drop the NULs. The masks of masked arrays are kept.

    Parameters
    ----------
    values : sequence of numbers, strings, arrays, lists or any other objects
        At least one.

    Raises
    ------
    ValueError
        If they differ in shape.
    UnlikeKindsError
        A `TypeError`, if they do not fit unchanged into one array.

    Examples
    --------
    >>> stack([2**63 + 1, 5])
    array([9223372036854775809,                   5], dtype=uint64)
    >>> stack([b"a", b"b\\0"])
    array([b'a', b'b\\x00'], dtype=object)
    >>> stack(["cat", 3])
    Traceback (most recent call last):
        ...
    batchup.engine.stacking.UnlikeKindsError: values of one array should be of one kind, not 'cat' (str) and 3 (number)
    """
    kinds = set(map(type, values))
    found = _stacked_alike(kinds.pop(), values) if len(kinds) == 1 else None
    return stack_arrays([as_array(value) for value in values]) if found is None else found


def _stacked_alike(kind: type, values: Sequence[Any]) -> Array | None:
    """The array of values of one type, if it is known to hold them unchanged."""
    if kind is np.ndarray:
        first = values[0]
        alike = not first.dtype.hasobject and all(x.dtype == first.dtype and x.shape == first.shape for x in values)
        return np.array(values) if alike else None
    if kind is list:
        inner = set(map(type, itertools.chain.from_iterable(values)))
        kind = inner.pop() if len(inner) == 1 else object
        if kind not in (int, float, bool):
            return None
    if kind is int:
        array = np.array(values)
        return array if array.dtype.kind in "iu" else None
    if kind is str and not any(value.endswith("\0") for value in values):
        return np.array(values)
    if kind is np.timedelta64:  # a number, for NumPy
        return None
    return np.array(values) if issubclass(kind, UNCHANGED) else None


def stack_arrays(arrays: Sequence[Array]) -> Array:
    """Stack arrays of one shape; see `stack`."""
    if len({array.shape for array in arrays}) > 1:
        shapes = ", ".join(dict.fromkeys(str(array.shape) for array in arrays))
        raise ValueError(f"values to stack should have one shape, not {shapes}")
    return _joined(arrays, np.stack, np.ma.stack)


def concatenate(arrays: Sequence[Array]) -> Array:
    """Concatenate arrays; each value keeps its kind, as for `stack`.

    >>> concatenate([np.array([1, 2]), np.array([0.5])])
    array([1. , 2. , 0.5])
    """
    return _joined(arrays, np.concatenate, np.ma.concatenate)


def _joined(arrays: Sequence[Array], join: Callable[..., Array], join_masked: Callable[..., Array]) -> Array:
    dtype = common_dtype([array for array in arrays if array is not np.ma.masked] or arrays)
    special = {type(array) for array in arrays if not isinstance(array, np.ma.MaskedArray)}.difference(PLAIN)
    if special:
        return _joined_special(arrays, join, special)
    if any(isinstance(array, np.ma.MaskedArray) for array in arrays):
        return join_masked([_masked_as(array, dtype) for array in arrays])
    return join([np.asarray(array).astype(dtype, copy=False) for array in arrays])


def _joined_special(arrays: Sequence[Array], join: Callable[..., Array], kinds: set[type]) -> Array:
    """Join arrays of a subclass, such as arrays with units, if the subclass itself does that."""
    found = join(arrays)
    if type(found) not in kinds:
        names = " and ".join(sorted(kind.__name__ for kind in kinds))
        raise UnlikeKindsError(
            f"values of one array should be plain arrays, not {names}, which would be lost; "
            "convert them with numpy.asarray() if the numbers alone are enough"
        )
    return found


def _masked_as(array: Array, dtype: np.dtype[Any]) -> Array:
    """`array` as a masked array. `numpy.ma.masked` itself, which is a float, gets the type of the others."""
    return (
        np.ma.array(np.zeros((), dtype), mask=True) if array is np.ma.masked else np.ma.asanyarray(array).astype(dtype)
    )


def as_array(value: Any) -> Array:
    """An array that holds a value unchanged; of a list, an array of its values.

    >>> as_array([1, 2]), as_array(b"a\\0")
    (array([1, 2]), array(b'a\\x00', dtype=object))
    """
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, bytes) or (isinstance(value, str) and value.endswith("\0")):
        return _object(value)
    if isinstance(value, (list, tuple)) and value:
        return stack(value)
    return np.asarray(value)


def _object(value: Any) -> Array:
    array = np.empty((), dtype=object)
    array[()] = _unchanged(value)
    return array


def object_array(items: Iterable[Any]) -> npt.NDArray[np.object_]:
    """An array of objects, filled one by one: NumPy would unpack images and lists."""
    items = list(items)
    array = np.empty(len(items), dtype=object)
    for place, item in enumerate(items):
        array[place] = _unchanged(item) if isinstance(item, (np.bytes_, np.str_)) else item
    return array


def _unchanged(value: Any) -> Any:
    """`value` in a form that NumPy puts into arrays of objects without dropping NULs."""
    if isinstance(value, np.str_):
        return str.__str__(value)  # str(value) drops them, too
    return bytes(value) if isinstance(value, np.bytes_) else value


def common_dtype(arrays: Sequence[Array]) -> np.dtype[Any]:
    """A dtype that holds the values of all arrays unchanged; an `UnlikeKindsError` if there is none."""
    dtypes = {array.dtype for array in arrays}
    if len(dtypes) == 1:
        return dtypes.pop()
    kinds = {_kind(array): array for array in arrays}
    if len(kinds) > 1:
        if "object" in kinds and not kinds.keys() & {
            "datetime",
            "timedelta",
            "record",
        }:  # NumPy would make ints of these
            return np.dtype(object)
        (kind, array), (other_kind, other), *_ = kinds.items()
        raise _unlike((array, kind), (other, other_kind))
    (kind,) = kinds
    if np.dtype(object) in dtypes:
        return np.dtype(object)
    if kind == "number":
        return _number_dtype(arrays)
    if kind in ("datetime", "timedelta"):
        arrays = [array for array in arrays if not _has_no_unit(array)] or arrays
    if kind in ("datetime", "timedelta", "record"):
        return _one_dtype(arrays)
    return np.result_type(*dtypes)


def _has_no_unit(array: Array) -> bool:
    """Whether an array has only ``NaT``, and without a unit."""
    return np.datetime_data(array.dtype)[0] == "generic" and bool(np.isnat(array).all())


def _one_dtype(arrays: Sequence[Array]) -> np.dtype[Any]:
    """The dtype of all arrays, apart from the order of bytes."""
    first, *others = arrays
    dtype = first.dtype.newbyteorder("=")
    for array in others:
        if array.dtype.newbyteorder("=") != dtype:
            raise _unlike((first, str(dtype)), (array, str(array.dtype)))
    return dtype


def _kind(array: Array) -> str:
    """The kind of the values of an array; for one of objects, the kind that all of them have, or "object"."""
    if array.dtype.kind != "O":
        return KINDS[array.dtype.kind]
    types = set(map(type, array.ravel().tolist()))
    return {bytes: "bytes", str: "str", int: "number"}.get(types.pop(), "object") if len(types) == 1 else "object"


def _number_dtype(arrays: Sequence[Array]) -> np.dtype[Any]:
    dtype = np.result_type(*{array.dtype for array in arrays})
    wholes = [array for array in arrays if array.dtype.kind in "iu"]
    if len(wholes) == len(arrays) and dtype.kind not in "iu":
        return _whole_dtype(arrays)
    for array in wholes:
        if array.dtype.itemsize == 8 and not _survives(array, dtype):
            other = next((x for x in arrays if x.dtype.kind not in "iu"), array)
            raise _unlike((array, str(array.dtype)), (other, str(other.dtype)), f": {dtype} would round some of them")
    return dtype


def _whole_dtype(arrays: Sequence[Array]) -> np.dtype[Any]:
    """The dtype of signed and unsigned integers together; objects if both are needed."""
    for dtype in (np.dtype(np.int64), np.dtype(np.uint64)):
        least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
        if all(least <= int(array.min()) and int(array.max()) <= most for array in arrays if array.size):
            return dtype
    return np.dtype(object)


def _survives(array: Array, dtype: np.dtype[Any]) -> bool:
    """Whether integers are the same in a dtype of floats."""
    if dtype.kind in "iu":
        return True
    cast = array.astype(dtype).real
    bound = 2.0 ** (63 if array.dtype.kind == "i" else 64)  # from there on, casting back is undefined
    with np.errstate(invalid="ignore"):
        return bool(np.all((cast < bound) & (cast.astype(array.dtype) == array)))


def _unlike(one: tuple[Array, str], other: tuple[Array, str], why: str = "") -> UnlikeKindsError:
    first, second = (f"{_example(array)} ({kind})" for array, kind in (one, other))
    return UnlikeKindsError(f"values of one array should be of one kind, not {first} and {second}{why}")


def _example(array: Array) -> str:
    if not array.size:
        return "an empty array"
    value = array.ravel()[0]
    return repr(value.item() if isinstance(value, np.generic) and array.dtype.kind not in "Mm" else value)
