"""Objects as bytes: a small header, and large buffers that are left out of it (pickle protocol 5)."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.machinery
import io
import itertools
import os
import pickle
import random
import sys
import types
import weakref
from collections.abc import Callable, Iterator
from importlib.machinery import SourceFileLoader
from typing import Any, TypeAlias

import numpy as np

try:
    import cloudpickle
except ImportError:  # joblib before 1.6 brings its own
    from joblib.externals import cloudpickle

from ...errors import DataSourcePicklingError
from .file_maps import FileMaps, file_mapped, in_a_file
from .places import place_of
from .shared_memory import ByteRange
from .views import reduced_array, reduced_tensor

for module in ("numpy.rec", "numpy.char"):  # or cloudpickle pickles their classes by value, as it finds no module
    with contextlib.suppress(ImportError):
        importlib.import_module(module)

__all__ = [
    "ATOMS",
    "BY_REFERENCE",
    "REDUCERS",
    "arguments_dumps",
    "arguments_loads",
    "dumps",
    "error_dumps",
    "generators_in",
    "inline",
    "is_generator",
    "is_plain",
    "result_dumps",
    "result_in",
    "result_loads",
]


# By the package of its class: what makes of an object the function and arguments that stand for it in a worker process,
# or NotImplemented. For handles of files, which are opened again there.
BY_REFERENCE: dict[str, Callable[[Any], Any]] = {}


def dumps(obj: Any, generators: list[Any] | None = None) -> tuple[bytes, list[memoryview]]:
    """A header, and the buffers that were left out of it. Functions and classes of ``__main__`` are pickled by value.
    The random generators in it are appended to `generators`.

    Raises
    ------
    DataSourcePicklingError
        If something in `obj` cannot be pickled. The message names the attribute, where it can be found.
    """
    buffers: list[pickle.PickleBuffer] = []
    try:
        _describe_main()
        file = io.BytesIO()
        pickler = _SourcePickler(file, 5, buffer_callback=buffers.append)
        pickler.dump(obj)
        header = file.getvalue()
        if generators is not None:
            generators += pickler.generators
    except Exception as error:
        raise _unpicklable(obj, error) from error
    return header, [buffer.raw() for buffer in buffers]


def inline(obj: Any) -> bytes:
    """The pickle of something small in one piece: of picks and other arguments.

    Raises
    ------
    DataSourcePicklingError
        If something in it cannot be pickled.
    """
    try:
        if is_plain(obj):
            return pickle.dumps(obj, 5)
    except RecursionError:  # perhaps a list that contains itself, which a pickler can handle
        pass
    try:
        _describe_main()
        file = io.BytesIO()
        _Pickler(file, 5).dump(obj)
        return file.getvalue()
    except Exception as error:
        raise _unpicklable(obj, error) from error


def _describe_main() -> None:
    """Have the main program pickled by value also if `multiprocessing` has started it, as ``__mp_main__``."""
    if "__mp_main__" in sys.modules:
        cloudpickle.register_pickle_by_value(sys.modules["__mp_main__"])


def _unpicklable(obj: Any, error: Exception) -> DataSourcePicklingError:
    place = place_of(obj, _cannot_be_pickled)
    return DataSourcePicklingError(
        f"{place} cannot be sent to a worker process, because it cannot be pickled ({error}); "
        "keep what it is made from, such as a path, and make it on first use, or use threads"
    )


def _cannot_be_pickled(part: Any) -> bool:
    try:
        _SourcePickler(io.BytesIO(), 5, buffer_callback=lambda _: None).dump(part)
    except Exception:
        return True
    return False


def generators_in(obj: Any) -> list[Any]:
    """The random generators that would be sent with `obj`."""
    pickler = _SourcePickler(io.BytesIO(), 5, buffer_callback=lambda _: None)
    with contextlib.suppress(Exception):
        pickler.dump(obj)
    return pickler.generators


def arguments_dumps(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The arguments of a task, for `marshal`. For index arrays, numbers and tuples it is faster than `pickle`."""
    if not kwargs:
        try:
            return _flat(args)
        except _NotFlat:
            pass
    return inline((args, kwargs))


def arguments_loads(arguments: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments that `arguments_dumps` was given."""
    if type(arguments) is tuple:
        return _unflat(arguments), {}
    args, kwargs = pickle.loads(arguments)
    return args, kwargs


class _NotFlat(Exception):
    """Something in it has to be pickled."""


_OF_NUMPY = frozenset([*range(17), 23])  # the dtypes of its numbers; a float8 of another package has no buffer
_Array, _INDEX = np.ndarray, np.dtype(np.intp)  # names of the module numpy are slow to look up
_NUMBERS = frozenset([int, float, bool, type(None)])
FEW = 32  # parts of a tuple; with more, pickle is faster


def _flat(x: Any) -> Any:
    kind = type(x)
    if kind is _Array and x.dtype == _INDEX and x.ndim == 1:
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


def result_in(memory: Any, header: Header, ranges: list[ByteRange]) -> Any:
    """The result that `result_dumps` was given. Its arrays are views of `memory`, an array of bytes."""
    if isinstance(header, bytes):
        view = memoryview(memory)
        return pickle.loads(header, buffers=[view[offset : offset + n] for offset, n in ranges])
    return _filled(header, zip(itertools.repeat(memory), ranges))


def result_loads(header: Header, buffers: list[Any]) -> Any:
    """The result that `result_dumps` was given. Its arrays are views of the buffers."""
    if isinstance(header, bytes):
        return pickle.loads(header, buffers=buffers)
    return _filled(header, zip(buffers, itertools.repeat((0, 0))))


Header: TypeAlias = Any  # a pickle; or the result itself, with [dtype, shape] in place of each array


def result_dumps(obj: Any) -> tuple[Header, list[memoryview]]:
    """What a worker sends back: a header, and the buffers that were left out of it.

    For arrays, numbers, and tuples of them, the header is the same tree with the dtypes and shapes of the arrays. Else
    it is a pickle, in which classes of ``__main__`` are pickled by name, so that the parent uses its own.
    """
    if type(obj) is tuple:
        views: list[memoryview] = []
        try:
            return _headed(obj, views), views
        except _NotFlat:
            pass
    buffers: list[pickle.PickleBuffer] = []
    if is_plain(obj, writeable=True):
        header = pickle.dumps(obj, 5, buffer_callback=buffers.append)
    else:
        file = io.BytesIO()
        _ResultPickler(file, 5, buffer_callback=buffers.append).dump(obj)
        header = file.getvalue()
    return header, [buffer.raw() for buffer in buffers]


def _headed(x: Any, views: list[memoryview]) -> Any:
    kind = type(x)
    if kind is _Array and x.dtype.num in _OF_NUMPY and x.size > 0 and x.flags.c_contiguous:
        views.append(memoryview(x).cast("B"))
        return [x.dtype.str, x.shape]
    if kind is tuple and len(x) <= FEW:
        return tuple([_headed(part, views) for part in x])
    if kind in _NUMBERS:
        return x
    raise _NotFlat


def _filled(header: Any, places: Iterator[tuple[Any, ByteRange]]) -> Any:
    """The header with arrays in it. Each is where the next place says: in a buffer, at some offset."""
    kind = type(header)
    if kind is list:
        dtype, shape = header
        buffer, (offset, _) = next(places)
        return _Array(shape, dtype, buffer, offset)
    return tuple([_filled(part, places) for part in header]) if kind is tuple else header


def error_dumps(error: Exception) -> bytes:
    """The pickle of an error. Classes of ``__main__`` are pickled by name, so that ``except`` catches it."""
    file = io.BytesIO()
    _ResultPickler(file, 5).dump(error)
    return file.getvalue()


# How results of a class, but not of classes derived from it, are pickled on their way to the parent: by what
# `object.__reduce__` would return. For arrays of other packages, whose own way would copy their data into the header.
REDUCERS: dict[type, Callable[[Any], tuple[Any, ...]]] = {}


class _ValuePickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Keeps NULs at the end of NumPy's bytes and text, which pickles of NumPy's own drop."""

    def reducer_override(self, obj: Any) -> Any:
        if _ends_with_nul(obj):
            return type(obj), (bytes(obj) if type(obj) is np.bytes_ else str.__str__(obj),)
        return super().reducer_override(obj)


def _ends_with_nul(obj: Any) -> bool:
    return (type(obj) is np.str_ and obj.endswith("\0")) or (type(obj) is np.bytes_ and obj.endswith(b"\0"))


class _Pickler(_ValuePickler):
    """Pickles what goes to workers. Notes the classes of the main program, which come back by name, and pickles by
    value what workers cannot import."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type) and obj.__module__ in MAIN:
            _classes_of_main[obj.__qualname__] = obj
        elif isinstance(obj, (type, types.FunctionType)):
            _should_be_importable(obj.__module__)
        return super().reducer_override(obj)


MAIN = ("__main__", "__mp_main__")
_classes_of_main: weakref.WeakValueDictionary[str, type] = weakref.WeakValueDictionary()  # by their qualified names
_importable: dict[str, Any] = {}  # modules that were looked for, by name
STANDARD_FINDERS = (
    importlib.machinery.BuiltinImporter,
    importlib.machinery.FrozenImporter,
    importlib.machinery.PathFinder,
)


def _should_be_importable(name: str | None) -> None:
    """Have the module pickled by value if workers cannot import it, or would import another one."""
    module = sys.modules.get(name or "")
    if name is None or module is None or name in sys.builtin_module_names or _importable.get(name) is module:
        return
    _importable[name] = module
    top = sys.modules.get(name.partition(".")[0], module)
    here = getattr(top, "__spec__", None)
    there = importlib.machinery.PathFinder.find_spec(top.__name__)
    origin = getattr(here, "origin", None)
    if origin is None or not origin.endswith(".py") or not isinstance(getattr(here, "loader", None), SourceFileLoader):
        return  # built in, frozen, in C, or of an importer of its own
    if there is None or there.origin is None or not os.path.samefile(there.origin, origin):
        others = [finder for finder in sys.meta_path if finder not in STANDARD_FINDERS]  # such as of editable installs
        if not any(finder.find_spec(top.__name__, None) for finder in others):
            cloudpickle.register_pickle_by_value(module)


class _SourcePickler(_Pickler):
    """Pickles arrays of memory-mapped files by path, so that workers map the file again. Refuses open files, as each
    worker would read a copy of its own, from the beginning."""

    @functools.cached_property
    def generators(self) -> list[Any]:
        return []

    @functools.cached_property
    def maps(self) -> FileMaps:
        return FileMaps()

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, io.TextIOWrapper) and obj not in (sys.stdout, sys.stderr):
            raise pickle.PicklingError("an open file")
        if type(obj) in (np.ndarray, np.memmap):  # subclasses may have more than data, such as a mask
            mapped = in_a_file(obj, self.maps)
            if mapped is not None:
                return file_mapped, mapped
            if type(obj) is np.memmap:  # otherwise its data would be in the header
                obj = obj.view(np.ndarray)
                return reduced_array(obj) or obj.__reduce_ex__(5)
            return reduced_array(obj) or NotImplemented
        if is_generator(obj):
            self.generators.append(obj)
        reduced = reduced_tensor(obj)
        if reduced is None:
            referred = BY_REFERENCE.get(type(obj).__module__.partition(".")[0])
            reduced = NotImplemented if referred is None else referred(obj)
        return super().reducer_override(obj) if reduced is NotImplemented else reduced


class _ResultPickler(_ValuePickler):
    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type) and obj.__module__ in MAIN and "<" not in obj.__qualname__:
            return _of_main, (obj.__qualname__,)
        if type(obj) is np.ndarray and not obj.flags.writeable:  # it is read-only in the worker alone
            return obj.copy().__reduce_ex__(5)
        if type(obj) in REDUCERS:
            return REDUCERS[type(obj)](obj)
        return super().reducer_override(obj)


def is_generator(obj: Any) -> bool:
    """Whether `obj` draws random numbers, one after the other.

    >>> is_generator(np.random.default_rng(0)), is_generator(np.random)
    (True, False)
    """
    if isinstance(obj, (random.Random, np.random.Generator, np.random.RandomState)):
        return True
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(obj, getattr(torch, "Generator", ()))


def _of_main(qualname: str) -> Any:
    known = _classes_of_main.get(qualname)
    if known is not None:  # the main module may be that of a profiler, which runs the program
        return known
    found: Any = sys.modules["__main__"]
    for name in qualname.split("."):
        found = getattr(found, name)
    return found


ATOMS: set[type] = {int, float, complex, bool, str, bytes, type(None)}


def is_plain(obj: Any, writeable: bool = False) -> bool:
    """Whether `pickle` can be used, which is faster than cloudpickle: for arrays, numbers and strings, and for tuples,
    lists and dicts of them. With `writeable`, only for arrays that can be written to.

    >>> is_plain((np.arange(3), {"y": [1.0]})), is_plain(len), is_plain(np.array([len]))
    (True, False, False)
    """
    kind = type(obj)
    if kind is np.ndarray:
        return not obj.dtype.hasobject and (obj.flags.writeable or not writeable)
    if kind is tuple or kind is list or issubclass(kind, tuple) and kind.__module__.startswith("batchup."):
        return all(is_plain(part, writeable) for part in obj)
    if kind is dict:
        return all(map(is_plain, obj)) and all(is_plain(part, writeable) for part in obj.values())
    return kind in ATOMS or isinstance(obj, np.generic) and kind.__module__ == "numpy" and not _ends_with_nul(obj)
