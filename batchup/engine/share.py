"""Objects whose arrays live in shared memory: constants out, batches back.

An object is pickled with its large buffers left out (pickle protocol 5): a small header, and the buffers, which are
copied once into a `Segment` and mapped by whoever reads them.
"""

from __future__ import annotations

import ctypes
import functools
import io
import math
import mmap
import os
import pickle
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

try:
    import cloudpickle
except ImportError:  # joblib before 1.6 brings its own
    from joblib.externals import cloudpickle

from ..errors import DataSourcePicklingError, SharedMemoryError
from .arena import ALIGNMENT

__all__ = [
    "Constant",
    "Segment",
    "arguments_dumps",
    "arguments_loads",
    "constant",
    "dumps",
    "error_dumps",
    "forget",
    "inline",
    "laid_out",
    "plain",
    "result_dumps",
    "result_in",
    "result_loads",
    "total_size",
]

Memory = Any  # a ctypes array of bytes: weakly referable, without a descriptor
Span = tuple[int, int]  # offset and size, in bytes


class Segment:
    """Memory that several processes map. On Linux it has no name, and is gone when its last user is.

    Elsewhere it is an unlinked temporary file's worth of pages, and goes when its maker lets it go.

    Parameters
    ----------
    size : int
        In bytes.
    reserve : bool, default True
        Whether to take the memory now. Not needed where it is filled by writing to the descriptor, which fails if there
        is no more; touching memory that is not there would end the process.

    Raises
    ------
    SharedMemoryError
        If the system has not so much left.
    """

    def __init__(self, size: int, reserve: bool = True) -> None:
        self.size = max(size, 1)
        self._maker = os.getpid()
        try:
            if hasattr(os, "memfd_create"):
                self.fd = os.memfd_create("batchup", os.MFD_CLOEXEC)
                self.path = f"/proc/{os.getpid()}/fd/{self.fd}"
                self._unlink: Callable[[], None] = lambda: None
            else:
                self.fd, self.path = tempfile.mkstemp(prefix="batchup-")
                self._unlink = _once(os.unlink, self.path)
            try:
                if reserve and hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(self.fd, 0, self.size)  # no space is an error here, not a SIGBUS later
                else:
                    os.ftruncate(self.fd, self.size)
            except OSError:
                self.close()
                raise
        except OSError as error:
            raise SharedMemoryError(f"{self.size} bytes of shared memory cannot be had: {error}") from error

    def map(self) -> Memory:
        """The memory, to read and to write.

        Raises
        ------
        SharedMemoryError
            If the system does not map more.
        """
        try:
            return writable_memory(self.fd, self.size)
        except OSError as error:
            raise SharedMemoryError(f"{self.size} bytes of shared memory cannot be mapped: {error}") from error

    def close(self) -> None:
        """Let go of it; who has mapped it keeps it. Done too when the segment is collected."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)
            if os.getpid() == self._maker:  # and not a fork of it
                self._unlink()

    def __del__(self) -> None:
        if getattr(self, "fd", -1) >= 0:
            self.close()

    @staticmethod
    def mapped(path: str, size: int) -> Memory:
        """The memory that another process's segment has at `path`, to read and to write."""
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            return writable_memory(fd, size)
        finally:
            os.close(fd)


def writable_memory(fd: int, size: int) -> Memory:
    """The memory behind a descriptor, which may be closed then: `mmap.mmap` would keep a copy of it open."""
    address = _libc().mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, fd, 0)
    if address == ctypes.c_void_p(-1).value:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    memory = (ctypes.c_ubyte * size).from_address(address)
    weakref.finalize(memory, _libc().munmap, address, size).atexit = False
    return memory


@functools.cache
def _libc() -> Any:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    integers = [ctypes.c_int] * 3
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *integers, ctypes.c_ssize_t]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    libc.memcmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    return libc


def _once(fn: Callable[[str], None], path: str) -> Callable[[], None]:
    left = [path]
    return lambda: fn(left.pop()) if left else None


def laid_out(buffers: Sequence[memoryview], begin: int = 0) -> list[Span]:
    """Where in one segment, behind `begin`, the buffers go, each at a multiple of `ALIGNMENT`.

    >>> laid_out([memoryview(bytes(100)), memoryview(bytes(8))])
    [(0, 100), (128, 8)]
    """
    spans = []
    offset = -(-begin // ALIGNMENT) * ALIGNMENT
    for buffer in buffers:
        spans.append((offset, buffer.nbytes))
        offset += -(-buffer.nbytes // ALIGNMENT) * ALIGNMENT
    return spans


def _after(spans: Sequence[Span]) -> int:
    return -(-total_size(spans) // ALIGNMENT) * ALIGNMENT


def total_size(spans: Sequence[Span]) -> int:
    """How much memory the spans need, in bytes."""
    return spans[-1][0] + spans[-1][1] if spans else 0


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
    if plain(obj):
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


class _SourcePickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Leaves the data of memory-mapped files where it is: the path travels, and the file is mapped again."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, np.ndarray):
            mapped = _in_a_file(obj)
            if mapped is not None:
                return file_mapped, mapped
        return super().reducer_override(obj)


def _in_a_file(array: npt.NDArray[Any]) -> tuple[Any, ...] | None:
    """The path of the file that the array is mapped from, and where it lies there; None for any other array."""
    base: Any = array
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    file = getattr(base, "_mmap", None)
    if file is None or base.filename is None or base.mode == "c" or array.dtype.hasobject:
        return None  # in memory; or a private copy of a file's pages, which may have been written to
    first = np.frombuffer(file, np.uint8).__array_interface__["data"][0]
    in_map = array.__array_interface__["data"][0] - first
    in_file = in_map + base.offset - base.offset % mmap.ALLOCATIONGRANULARITY
    return os.fspath(base.filename), in_file, array.dtype, array.shape, array.strides


def file_mapped(
    path: str, offset: int, dtype: np.dtype[Any], shape: tuple[int, ...], strides: tuple[int, ...]
) -> npt.NDArray[Any]:
    """An array that lies in a file, mapped read-only."""
    with open(path, "rb") as file:
        memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return np.ndarray(shape, dtype, memory, offset, strides)


class _ResultPickler(cloudpickle.Pickler):  # type: ignore[misc]
    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type) and obj.__module__ in ("__main__", "__mp_main__") and "<" not in obj.__qualname__:
            return _of_main, (obj.__qualname__,)
        return super().reducer_override(obj)


def _of_main(qualname: str) -> Any:
    found: Any = sys.modules["__main__"]
    for name in qualname.split("."):
        found = getattr(found, name)
    return found


_ATOMS = frozenset([int, float, complex, bool, str, bytes, type(None)])


def plain(obj: Any) -> bool:
    """Whether ordinary pickling will do: arrays, numbers, strings, and tuples, lists and dicts of them.

    >>> plain((np.arange(3), {"y": [1.0]})), plain(len), plain(np.array([len]))
    (True, False, False)
    """
    kind = type(obj)
    if kind is np.ndarray:
        return not obj.dtype.hasobject
    if kind is tuple or kind is list or issubclass(kind, tuple) and kind.__module__.startswith("batchup."):
        return all(map(plain, obj))
    if kind is dict:
        return all(map(plain, obj)) and all(map(plain, obj.values()))
    return kind in _ATOMS or kind is Constant or isinstance(obj, np.generic) and kind.__module__ == "numpy"


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


class Constant:
    """An object that the workers of a pool share: its arrays are in memory once, and each worker maps them read-only.

    Pickled, it is a reference of some hundred bytes, which becomes the object where it is loaded.
    """

    serials = iter(range(1 << 62))
    seconds = math.inf  # that it took, as the function of a task, the last time

    def __init__(self, obj: Any) -> None:
        self.serial = next(self.serials)
        outer, _referred.constants = getattr(_referred, "constants", None), []
        try:
            header, buffers = dumps(obj)
            self._within = _referred.constants  # other constants that are part of the object, and must not go before it
        finally:
            _referred.constants = outer
        parts = [memoryview(header), *buffers]
        spans = self.spans = laid_out(parts)
        # what cannot change is held, so that nothing else can come to be where it is
        self._fixed = [part if _is_of_bytes(part) else None for part in parts]
        spans_of = memoryview(pickle.dumps(spans))  # there may be thousands: they travel with the data
        self.end = _after(spans)
        self.segment = Segment(self.end + spans_of.nbytes, reserve=False)
        try:
            for (offset, _), part in zip([*spans, (self.end, 0)], [*parts, spans_of], strict=True):
                _write_all(self.segment.fd, part, offset)
        except OSError as error:
            self.segment.close()
            raise SharedMemoryError(f"{self.segment.size} bytes of shared memory cannot be had: {error}") from error
        self.reference = pickle.dumps(self, 5)
        self._memory: Memory | None = None

    def holds(self, obj: Any) -> bool:
        """Whether `obj` still is, byte for byte, what was copied.

        All of its memory is compared, at some gigabytes a second; but not that of arrays over `bytes`, which cannot
        change. An array that is only marked as not writeable can: through an earlier view, or when the mark is undone.
        """
        header, buffers = dumps(obj)
        parts = [memoryview(header), *buffers]
        if [part.nbytes for part in parts] != [n for _, n in self.spans] or self.segment.fd < 0:
            return False
        if self._memory is None:
            self._memory = self.segment.map()
        first = _address(self._memory)
        return all(
            (fixed is not None and _is_of_bytes(part) and _address(fixed) == _address(part))
            or _libc().memcmp(first + offset, _address(part), n) == 0
            for part, fixed, (offset, n) in zip(parts, self._fixed, self.spans, strict=True)
        )

    @property
    def nbytes(self) -> int:
        """The shared memory that it takes."""
        return self.segment.size

    def __reduce__(self) -> tuple[Any, ...]:
        within = getattr(_referred, "constants", None)
        if within is not None:
            within.append(self)
        return constant, (self.serial, self.segment.path, self.segment.size, self.end)

    def close(self) -> None:
        """Free the memory, once no worker maps it."""
        self._memory = None
        self.segment.close()


def _is_of_bytes(part: memoryview) -> bool:
    """Whether this is the memory of an array over `bytes`, which nobody writes to."""
    owner: Any = part.obj
    while isinstance(owner, np.ndarray):
        owner = owner.base
    return isinstance(owner, bytes) and isinstance(part.obj, np.ndarray)


def _address(buffer: Any) -> int:
    address: int = np.frombuffer(buffer, np.uint8).__array_interface__["data"][0] if len(buffer) else 0
    return address


_referred = threading.local()  # the constants that were met while another one was made
_constants: dict[int, Any] = {}


def constant(serial: int, path: str, size: int, end: int) -> Any:
    """In a worker: the object of a `Constant`, mapped when it is first asked for."""
    if serial not in _constants:
        with open(path, "rb") as file:
            memory = memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ))
        header, *buffers = (memory[offset : offset + n] for offset, n in pickle.loads(memory[end:]))
        _constants[serial] = pickle.loads(header, buffers=buffers)
    return _constants[serial]


def forget(serial: int) -> None:
    """In a worker: let go of a constant that is not used any more."""
    _constants.pop(serial, None)


def _write_all(fd: int, buffer: memoryview, offset: int) -> None:
    flat = buffer.cast("B") if buffer.nbytes else buffer
    done = 0
    while done < buffer.nbytes:
        done += os.pwrite(fd, flat[done : done + (1 << 30)], offset + done)
