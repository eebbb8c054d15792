"""The pipe: endless batches from a source of items and functions of one item, made in the background."""

from __future__ import annotations

import contextlib
import inspect
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ..data_source import AbstractDataSource
from ..data_source.replay import saved_by
from ..engine.checks import INTEGERS, a_or_an, whole
from ..engine.closing import Closing
from ..engine.fixed import MAKE_A_NEW_ONE, Fixed
from ..engine.global_rng import drawn_seed
from ..engine.rng import entropy_of
from ..version import __version__
from .batching import ShouldAdd
from .combiners import combine_to_arrays
from .functions import ItemFunction, short_name, should_be_callable
from .run import PipePlan, PipeRun
from .sources import Draws
from .stages import END, PipeContext, Stage
from .state import PipeState, check_resumable

__all__ = ["Infinite"]


class Infinite(Fixed, Closing):
    """A pipe: items of a source go through functions one at a time, and come out in batches.

    Call it, or iterate over it, to get the batches of one epoch. The next call continues where the last one stopped.
    Batches are prefetched in the background. Use it as a context manager: the end of ``with`` closes it.

    Parameters
    ----------
    source : iterable of items
        Usually endless, such as `sample`. A source that ends may give a short last batch; after that there are no more
        batches.
    *transforms : callable or stage
        Each gets the result of the one before it. A function is called with one item at a time. Stages are `Threads`,
        `Loky` and `Iterator`. A function with a parameter ``rng`` gets a `numpy.random.Generator`.
    batch_size : int or callable
        The number of items per batch; or a function ``should_add(batch_so_far, item) -> bool``, called for each item
        but the first of a batch.
    batches_per_epoch : int
        The number of batches that one call gives.
    buffer_size : int, default 1
        The number of batches to prefetch. No more items are drawn while the buffer is full.
    combiner : callable, list of items -> batch, default `combine_to_arrays`
        May be a stage, such as ``Threads(combine_pad)``.
    seed : int or numpy.random.SeedSequence, optional
        Decides, with the position of a function in the pipe and the number of the item, which generator the function
        gets. By default NumPy's global generator draws a seed for each run.
    **kwargs
        Further arguments of the combiner.

    Raises
    ------
    TypeError, ValueError
        For invalid arguments. While iterating, the error of a function is raised unchanged, after the batches before
        it, with a note that says at which item and stage it happened. Then the pipe is closed.

    Examples
    --------
    >>> from batchup.batch_iter import sample, unpack_args
    >>> images = [(np.full((4, 4), i), i % 2) for i in range(10)]
    >>> def lit(image, label):
    ...     return image + 1, label
    >>> with Infinite(
    ...     sample(images, random_state=7), unpack_args(lit), batch_size=3, batches_per_epoch=2
    ... ) as batch_iter:
    ...     for xs, ys in batch_iter():
    ...         print(xs.shape, ys)
    (3, 4, 4) [0 1 0]
    (3, 4, 4) [1 1 1]
    """

    _fixed = dict.fromkeys(
        ["source", "batch_size", "buffer_size", "combiner", "seed", "batches_per_epoch"], MAKE_A_NEW_ONE
    )
    _run: PipeRun | None = None

    def __init__(
        self,
        source: Iterable[Any],
        *transforms: Callable[[Any], Any] | Stage,
        batch_size: int | ShouldAdd,
        batches_per_epoch: int,
        buffer_size: int = 1,
        combiner: Callable[..., Any] | Stage = combine_to_arrays,
        seed: int | np.random.SeedSequence | None = None,
        **kwargs: Any,
    ) -> None:
        self.batches_per_epoch = whole("batches_per_epoch", batches_per_epoch)
        self.seed = _seed_of(seed)
        self._plan = PipePlan(
            _should_be_iterable(source),
            tuple(_function_of("a transform", each) for each in transforms),
            _size_of(batch_size),
            _combiner_of(combiner, kwargs),
            whole("buffer_size", buffer_size),
        )
        self._initial = PipeState(0, self.seed, source.seed if isinstance(source, Draws) else None)
        self._start = self._initial  # where the next run starts
        self._closed_at: PipeState | None = None  # where the last run was when it was closed
        self._lock = threading.RLock()
        self._fix()

    def __call__(self) -> Iterator[Any]:
        """The batches of one epoch. Background work on them starts at once.

        Returns
        -------
        iterator of batches
            `batches_per_epoch` of them; fewer if the source ends.
        """
        with self._lock:
            run = self._run or self._start_run()
        if run.ended:
            text = "the source has ended, and no batches are left; call close() to start over with its first item"
            warnings.warn(text, RuntimeWarning, stacklevel=2)
        return PipeEpoch(self, run, self.batches_per_epoch)

    def __iter__(self) -> Iterator[Any]:
        return self()

    def __len__(self) -> int:
        return self.batches_per_epoch

    def close(self) -> None:
        """Stop all background work. The next call starts over, with the first item of the source."""
        with self._lock:
            run = self._run
            if run is not None:
                self._closed_at = self._state()
            self._run = None
        if run is not None:
            run.close()

    def __del__(self, is_at_exit: Callable[[], bool] = sys.is_finalizing) -> None:
        """Stop a pipe that is no longer referenced. At the exit of the program, the pools stop by themselves."""
        # weakref.finalize would keep the functions of the pipe alive, and these may be methods of the owner of the pipe
        if self._run is not None and not is_at_exit():
            self._run.close()

    def state_dict(self) -> dict[str, Any]:
        """The position of the pipe: after the last batch that was delivered. After `close`, the position at that time.

        Returns
        -------
        dict
            A few integers and the version of batchup, for JSON or a checkpoint.

        Raises
        ------
        TypeError, ValueError
            Unless the source is `sample` or `load_by_random_id`, it or the pipe has a seed, `batch_size` is an int, and
            no stage is an `Iterator`.

        Examples
        --------
        >>> from batchup.batch_iter import sample
        >>> pipe = Infinite(sample(range(100)), batch_size=4, batches_per_epoch=3, seed=7)
        >>> with pipe:
        ...     for x in pipe:
        ...         pass
        >>> pipe.state_dict()
        {'items': 12, 'entropy': 7, 'source_seed': None, 'batchup': ...}
        """
        check_resumable(self._plan, self.seed)
        return {**self._state().as_dict(), "batchup": __version__}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Make the next call start where `state` was taken. Earlier draws are replayed; nothing is loaded for them.

        Parameters
        ----------
        state : dict
            From a pipe with the same source and seeds. The batch size and the number of workers may differ.

        Raises
        ------
        TypeError, ValueError
            As for `state_dict`; and if the seeds differ.
        """
        check_resumable(self._plan, self.seed)
        loaded, own = PipeState.from_dict(state), self._initial.source_seed
        if loaded.source_seed != own or self.seed not in (None, loaded.entropy):
            has = f"entropy={self.seed}, source_seed={own}"
            raise ValueError(
                f"the state should be of a pipe with the same seeds, {has}, not {dict(state)}{saved_by(state)}"
            )
        self.close()
        self._start, self._closed_at = loaded, None

    def __repr__(self) -> str:
        plan = self._plan
        size = short_name(plan.batch_size)
        parts = [*map(short_name, (plan.source, *plan.stages)), f"batch_size={size}"]
        return f"Infinite({', '.join(parts)}, batches_per_epoch={self.batches_per_epoch})"

    def _start_run(self) -> PipeRun:
        start = self._start
        entropy = start.entropy if self.seed is None else self.seed
        if entropy is None:
            entropy = drawn_seed()  # so that runs differ, and numpy.random.seed decides about them
        self._run = run = PipeRun(self._plan, PipeContext(entropy, self.seed is not None, start.items))
        self._start, self._closed_at = self._initial, None
        return run

    def _failed(self, run: PipeRun) -> None:
        """Close the pipe after an error, so that the next call starts over."""
        if run is self._run:
            self.close()

    def _state(self) -> PipeState:
        if self._run is None:
            return self._closed_at or self._start
        context, size = self._run.context, self._plan.batch_size
        items = context.first + (0 if callable(size) else self._run.delivered * size)
        return PipeState(items, context.entropy, self._initial.source_seed)


class PipeEpoch(Iterator[Any]):
    """The batches of one epoch. It keeps the pipe alive until its last batch, and keeps no batch."""

    def __init__(self, pipe: Infinite, run: PipeRun, n: int) -> None:
        self._pipe: Infinite | None = pipe
        self._run = run
        self._remaining = n

    def __next__(self) -> Any:
        if self._pipe is None:
            raise StopIteration
        try:
            batch = self._run.next()
        except Exception:
            pipe, self._pipe = self._pipe, None
            pipe._failed(self._run)
            raise
        self._remaining -= 1
        if batch is END or not self._remaining:
            self._pipe = None
        if batch is END:
            raise StopIteration
        return batch


def _should_be_iterable(source: Any) -> Any:
    if isinstance(source, AbstractDataSource):
        raise TypeError(f"{a_or_an(type(source))} has batches, not items; pass items_of(source, shuffle=7)")
    if not hasattr(source, "__iter__") and not hasattr(source, "__getitem__"):
        hint = "; call the function" if callable(source) else ""
        raise TypeError(f"source should be an iterable of items, not {source!r}{hint}")
    return source


def _function_of(name: str, transform: Any) -> Any:
    if isinstance(transform, type) and issubclass(transform, Stage):
        raise TypeError(f"{name} should be a function or a stage such as {transform.__name__}(func), not the class")
    if isinstance(transform, Stage):
        return transform
    function = ItemFunction(should_be_callable(name, transform))
    return function if function.draws or function.func is not transform else transform


def _size_of(batch_size: Any) -> Any:
    return batch_size if callable(batch_size) else whole("batch_size", batch_size)


def _combiner_of(combiner: Any, kwargs: dict[str, Any]) -> Any:
    if isinstance(combiner, Stage):
        if kwargs:
            raise TypeError(f"the combiner is a stage, so pass {', '.join(kwargs)} to the stage, not to Infinite")
        return combiner
    should_be_callable("combiner", combiner)
    if kwargs:
        with contextlib.suppress(ValueError):  # some functions written in C have no signature
            signature = inspect.signature(combiner)
            try:
                signature.bind([], **kwargs)
            except TypeError as error:
                raise TypeError(
                    f"the combiner {short_name(combiner)} {error}; keywords that Infinite does not have go to it"
                ) from None
    return ItemFunction(combiner, **kwargs)


def _seed_of(seed: Any) -> int | None:
    if seed is None:
        return None
    if isinstance(seed, np.random.SeedSequence):
        return entropy_of(seed)
    if not isinstance(seed, INTEGERS):
        raise TypeError(f"seed should be None, an int or a SeedSequence, not {seed!r}")
    return whole("seed", seed, least=0)
