"""How objects become bytes: a small header, and large buffers that are left out of it (pickle protocol 5)."""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import pickle
import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

try:
    import cloudpickle
except ImportError:  # joblib before 1.6 brings its own
    from joblib.externals import cloudpickle

from ...errors import DataSourcePicklingError
from .file_maps import FileMaps, file_mapped, in_a_file
from .shared_memory import Span

for module in ("numpy.rec", "numpy.char"):  # where their classes say they are from; of others, cloudpickle sends a copy
    with contextlib.suppress(ImportError):
        importlib.import_module(module)

__all__ = [
    "ATOMS",
    "REDUCERS",
    "arguments_dumps",
    "arguments_loads",
    "dumps",
    "error_dumps",
    "inline",
    "plain",
    "result_dumps",
    "result_in",
    "result_loads",
]


def dumps(obj: Any) -> tuple[bytes, list[memoryview]]:
    """A header and the buffers it left out; functions and classes of ``__main__`` travel by value.

    Raises
    ------
    DataSourcePicklingError
        If something in `obj` cannot be pickled; it says which attribute, where that can be found out.
    """
    buffers: list[pickle.PickleBuffer] = []
    try:
        _describe_main()
        file = io.BytesIO()
        _SourcePickler(file, 5, buffer_callback=buffers.append).dump(obj)
        header = file.getvalue()
    except Exception as error:
        raise _unpicklable(obj, error) from error
    return header, [buffer.raw() for buffer in buffers]


def inline(obj: Any) -> bytes:
    """All of `obj` in one piece, for what is small: picks and other arguments.

    Raises
    ------
    DataSourcePicklingError
        If something in it cannot be pickled.
    """
    try:
        if plain(obj):
            return pickle.dumps(obj, 5)
    except RecursionError:  # a list that holds itself, perhaps: the pickler knows what to do
        pass
    try:
        _describe_main()
        return bytes(cloudpickle.dumps(obj, 5))
    except Exception as error:
        raise _unpicklable(obj, error) from error


def _describe_main() -> None:
    """Have the main program travel by value also where `multiprocessing` has started it, under a name of its own."""
    if "__mp_main__" in sys.modules:
        cloudpickle.register_pickle_by_value(sys.modules["__mp_main__"])


def _unpicklable(obj: Any, error: Exception) -> DataSourcePicklingError:
    return DataSourcePicklingError(
        f"{_culprit(obj)} cannot be sent to a worker process, because it cannot be pickled ({error}); "
        "keep what it is made from, such as a path, and make it on first use, or use threads"
    )


def arguments_dumps(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The arguments of a task, for `marshal`: arrays of indices, numbers, and tuples of them as they are in memory."""
    if not kwargs:
        try:
            return _flat(args)
        except _NotFlat:
            pass
    return inline((args, kwargs))


def arguments_loads(arguments: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What `arguments_dumps` was given."""
    if type(arguments) is tuple:
        return _unflat(arguments), {}
    args, kwargs = pickle.loads(arguments)
    return args, kwargs


class _NotFlat(Exception):
    """There is something in it that `marshal` does not know."""


_NUMBERS = frozenset([int, float, bool, type(None)])
FEW = 32  # parts of a tuple; with more, pickling is faster


def _flat(x: Any) -> Any:
    kind = type(x)
    if kind is np.ndarray and x.dtype == np.intp and x.ndim == 1:
        return [x.tobytes()]
    if kind is tuple and len(x) <= FEW:
        return tuple([_flat(part) for part in x])
    if kind in _NUMBERS:
        return x
    raise _NotFlat


def _unflat(x: Any) -> Any:
    kind = type(x)
    if kind is list:
        return np.frombuffer(bytearray(x[0]), np.intp)
    return tuple([_unflat(part) for part in x]) if kind is tuple else x


def result_in(memory: Any, header: Header, spans: list[Span]) -> Any:
    """What `result_dumps` was given; its arrays lie in the memory, an array of bytes."""
    if isinstance(header, bytes):
        view = memoryview(memory)
        return pickle.loads(header, buffers=[view[offset : offset + n] for offset, n in spans])
    places = iter(spans)
    return _filled(header, lambda head: np.ndarray(head[1], head[0], memory, next(places)[0]))


def result_loads(header: Header, buffers: list[Any]) -> Any:
    """What `result_dumps` was given; its arrays lie in the buffers."""
    if isinstance(header, bytes):
        return pickle.loads(header, buffers=buffers)
    each = iter(buffers)
    return _filled(header, lambda head: np.ndarray(head[1], head[0], next(each)))


Header = Any  # a pickle, or for `marshal` the same tree of tuples, with [type, shape] for each array


def result_dumps(obj: Any) -> tuple[Header, list[memoryview]]:
    """What a worker sends back: a header, and the buffers that it left out.

    Of arrays, numbers, and tuples of them, the header has the types and shapes of the arrays. Else it is a pickle, in
    which a class of ``__main__`` is named, not described, so that the parent uses its own.
    """
    if type(obj) is tuple:
        views: list[memoryview] = []
        try:
            return _headed(obj, views), views
        except _NotFlat:
            pass
    buffers: list[pickle.PickleBuffer] = []
    if plain(obj, writeable=True):
        header = pickle.dumps(obj, 5, buffer_callback=buffers.append)
    else:
        file = io.BytesIO()
        _ResultPickler(file, 5, buffer_callback=buffers.append).dump(obj)
        header = file.getvalue()
    return header, [buffer.raw() for buffer in buffers]


def _headed(x: Any, views: list[memoryview]) -> Any:
    kind = type(x)
    if kind is np.ndarray and x.dtype.kind in "fiubc" and x.size > 0 and x.flags.c_contiguous:
        views.append(memoryview(x).cast("B"))
        return [x.dtype.str, x.shape]
    if kind is tuple and len(x) <= FEW:
        return tuple([_headed(part, views) for part in x])
    if kind in _NUMBERS:
        return x
    raise _NotFlat


def _filled(header: Any, array: Callable[[list[Any]], Any]) -> Any:
    kind = type(header)
    if kind is list:
        return array(header)
    return tuple([_filled(part, array) for part in header]) if kind is tuple else header


def error_dumps(error: Exception) -> bytes:
    """An error, for `pickle.loads`; a class of ``__main__`` is named, so that ``except`` in the program finds it."""
    file = io.BytesIO()
    _ResultPickler(file, 5).dump(error)
    return file.getvalue()


# How objects of a class, and of no class derived from it, are pickled where they cross to another process: what
# `object.__reduce__` would return. For arrays of other packages, whose own way would copy their data into the header.
REDUCERS: dict[type, Callable[[Any], tuple[Any, ...]]] = {}


class _SourcePickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Leaves the data of memory-mapped files where it is: the path travels, and the file is mapped again. Refuses open
    files, as each worker would read a copy of its own, from the beginning."""

    @functools.cached_property
    def maps(self) -> FileMaps:
        return FileMaps()

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, io.TextIOWrapper) and obj not in (sys.stdout, sys.stderr):
            raise pickle.PicklingError("an open file")
        if type(obj) in (np.ndarray, np.memmap):  # one of another class, with a mask perhaps, is more than its data
            mapped = in_a_file(obj, self.maps)
            if mapped is not None:
                return file_mapped, mapped
            if type(obj) is np.memmap:  # or its data would be in the header
                return obj.view(np.ndarray).__reduce_ex__(5)
        if type(obj) in REDUCERS:
            return REDUCERS[type(obj)](obj)
        return super().reducer_override(obj)


class _ResultPickler(cloudpickle.Pickler):  # type: ignore[misc]
    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type) and obj.__module__ in ("__main__", "__mp_main__") and "<" not in obj.__qualname__:
            return _of_main, (obj.__qualname__,)
        if type(obj) is np.ndarray and not obj.flags.writeable:  # it is only here that nobody should write to it
            return obj.copy().__reduce_ex__(5)
        if type(obj) in REDUCERS:
            return REDUCERS[type(obj)](obj)
        return super().reducer_override(obj)


def _of_main(qualname: str) -> Any:
    found: Any = sys.modules["__main__"]
    for name in qualname.split("."):
        found = getattr(found, name)
    return found


ATOMS: set[type] = {int, float, complex, bool, str, bytes, type(None)}


def plain(obj: Any, writeable: bool = False) -> bool:
    """Whether ordinary pickling will do: arrays (perhaps only those that can be written to), numbers, strings, and
    tuples, lists and dicts of them.

    >>> plain((np.arange(3), {"y": [1.0]})), plain(len), plain(np.array([len]))
    (True, False, False)
    """
    kind = type(obj)
    if kind is np.ndarray:
        return not obj.dtype.hasobject and (obj.flags.writeable or not writeable)
    if kind is tuple or kind is list or issubclass(kind, tuple) and kind.__module__.startswith("batchup."):
        return all(plain(part, writeable) for part in obj)
    if kind is dict:
        return all(map(plain, obj)) and all(plain(part, writeable) for part in obj.values())
    return kind in ATOMS or isinstance(obj, np.generic) and kind.__module__ == "numpy"


def _culprit(obj: Any, within: str = "") -> str:
    """The innermost attribute or item that cannot be pickled, as a path from the object."""
    obj = getattr(obj, "__self__", obj)  # of a method, what it is bound to
    name = within or type(obj).__name__
    if isinstance(obj, dict):
        parts: Iterable[tuple[str, Any]] = ((f"{name}[{key!r}]", value) for key, value in obj.items())
    elif isinstance(obj, (list, tuple)):
        parts = ((f"{name}[{i}]", value) for i, value in enumerate(obj))
    else:
        parts = ((f"{name}.{key}", value) for key, value in getattr(obj, "__dict__", {}).items())
    if name.count(".") + name.count("[") < 8:
        for place, part in parts:
            try:
                cloudpickle.dumps(part, 5, buffer_callback=lambda _: None)
            except Exception:
                return _culprit(part, place)
    return name if within else f"a {name}"
