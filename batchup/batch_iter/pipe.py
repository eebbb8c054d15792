"""Batches without end from a source of items and functions of one item, made in the background."""

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
from ..engine.checks import INTEGERS, whole
from ..engine.closing import Closing
from ..engine.rng import entropy_of
from .batching import ShouldAdd
from .combiners import combine_to_arrays
from .functions import Call, name_of, should_be_callable
from .run import Plan, Run
from .sources import Draws
from .stages import END, Course, Stage
from .state import State, should_be_resumable

__all__ = ["Infinite"]


class Infinite(Closing):
    """A pipe: items of a source go through functions, one by one, and come out in batches.

    Calling it, or iterating over it, gives the batches of one epoch; the next call goes on where the last one stopped.
    They are made in the background, ahead of the loop. A context manager: the end of ``with`` closes it.

    Parameters
    ----------
    source : iterable of items
        Usually without end, such as `sample` gives. One that ends is cut into batches, of which the last may be short;
        then there are no more.
    *transforms : callable or stage
        Each gets what the one before it gives. A function is called with one item at a time; see `Threads`, `Loky` and
        `Iterator` for others. A function with a parameter ``rng`` gets a `numpy.random.Generator` for it.
    batch_size : int or callable
        Items per batch; or ``should_add(batch_so_far, item) -> bool``, asked for each item but the first of a batch.
    batches_per_epoch : int
        How many batches one call gives.
    buffer_size : int, default 1
        How many batches are made ahead. While so many wait, no more items are drawn.
    combiner : callable, list of items -> batch, default `combine_to_arrays`
        May be a stage, such as ``Threads(combine_pad)``.
    seed : int or numpy.random.SeedSequence, optional
        The generator of an item in a function depends on it, on the place of the function in the pipe and on the number
        of the item, and on nothing else. By default it is of fresh entropy.
    **kwargs
        For the combiner.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be. While iterating, the error of a function is raised as it is, with a note that says
        at which item and in which stage it happened, in the place of its batch. Then the pipe is closed.

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

    _run: Run | None = None

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
        self._plan = Plan(
            _should_be_iterable(source),
            tuple(_function_of("a transform", each) for each in transforms),
            _size_of(batch_size),
            _combiner_of(combiner, kwargs),
            whole("buffer_size", buffer_size),
        )
        self._anew = State(0, self.seed, source.seed if isinstance(source, Draws) else None)
        self._begins = self._anew
        self._left: State | None = None  # where the last run was when it was closed
        self._lock = threading.RLock()

    def __call__(self) -> Iterator[Any]:
        """The batches of one epoch; work on them begins at once.

        Returns
        -------
        iterator of batches
            Of `batches_per_epoch`; fewer if the source ends.
        """
        with self._lock:
            run = self._run or self._begun()
        if run.ended:
            text = "the source has ended, and no batches are left; close() lets the next epoch begin anew"
            warnings.warn(text, RuntimeWarning, stacklevel=2)
        return Epoch(self, run, self.batches_per_epoch)

    def __iter__(self) -> Iterator[Any]:
        return self()

    def __len__(self) -> int:
        return self.batches_per_epoch

    def close(self) -> None:
        """End all work in the background. The next call begins anew, with the first item of the source."""
        with self._lock:
            run = self._run
            if run is not None:
                self._left = self._state()
            self._run = None
        if run is not None:
            run.close()

    def __del__(self, is_at_exit: Callable[[], bool] = sys.is_finalizing) -> None:
        """A pipe that nobody holds ends. At the exit of the program, the pools see to that."""
        # not by weakref.finalize: it would hold the functions of the pipe, and these may be methods of who holds it
        if self._run is not None and not is_at_exit():
            self._run.close()

    def state_dict(self) -> dict[str, Any]:
        """Where the pipe is: behind the last batch that was delivered. After `close`, where it was then.

        Returns
        -------
        dict
            Of a few integers, for JSON or a checkpoint.

        Raises
        ------
        TypeError, ValueError
            Unless the source is `sample` or `load_by_random_id` with a seed, of its own or of the pipe, `batch_size` is
            an int, and no stage is an `Iterator`.

        Examples
        --------
        >>> from batchup.batch_iter import sample
        >>> pipe = Infinite(sample(range(100)), batch_size=4, batches_per_epoch=3, seed=7)
        >>> with pipe:
        ...     for x in pipe:
        ...         pass
        >>> pipe.state_dict()
        {'items': 12, 'entropy': 7, 'source_seed': None}
        """
        should_be_resumable(self._plan, self.seed)
        return self._state().as_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Have the next call begin where `state` was taken. What was drawn before is drawn again, and not loaded.

        Parameters
        ----------
        state : dict
            Of a pipe of the same source and seeds. Its `batch_size` may have been another, and so may the number of
            workers.

        Raises
        ------
        TypeError, ValueError
            As for `state_dict`; and if the seeds are others.
        """
        should_be_resumable(self._plan, self.seed)
        loaded, own = State.of_dict(state), self._anew.source_seed
        if loaded.source_seed != own or self.seed not in (None, loaded.entropy):
            has = f"entropy={self.seed}, source_seed={own}"
            raise ValueError(f"the state should be of a pipe with the same seeds, {has}, not {dict(state)}")
        self.close()
        self._begins, self._left = loaded, None

    def __repr__(self) -> str:
        plan = self._plan
        size = name_of(plan.batch_size)
        parts = [*map(name_of, (plan.source, *plan.stages)), f"batch_size={size}"]
        return f"Infinite({', '.join(parts)}, batches_per_epoch={self.batches_per_epoch})"

    def _begun(self) -> Run:
        begins = self._begins
        entropy = begins.entropy if self.seed is None else self.seed
        if entropy is None:
            entropy = int(np.random.SeedSequence().entropy)  # type: ignore[arg-type]
        self._run = run = Run(self._plan, Course(entropy, self.seed is not None, begins.items))
        self._begins, self._left = self._anew, None
        return run

    def _failed(self, run: Run) -> None:
        """The next call begins anew."""
        if run is self._run:
            self.close()

    def _state(self) -> State:
        if self._run is None:
            return self._left or self._begins
        course, size = self._run.course, self._plan.batch_size
        items = course.first + (0 if callable(size) else self._run.delivered * size)
        return State(items, course.entropy, self._anew.source_seed)


class Epoch(Iterator[Any]):
    """The batches of one epoch. It keeps its pipe as long as there are more, and no batch that it has given."""

    def __init__(self, pipe: Infinite, run: Run, n: int) -> None:
        self._pipe: Infinite | None = pipe
        self._run = run
        self._left = n

    def __next__(self) -> Any:
        if self._pipe is None:
            raise StopIteration
        try:
            batch = self._run.next()
        except Exception:
            pipe, self._pipe = self._pipe, None
            pipe._failed(self._run)
            raise
        self._left -= 1
        if batch is END or not self._left:
            self._pipe = None
        if batch is END:
            raise StopIteration
        return batch


def _should_be_iterable(source: Any) -> Any:
    if isinstance(source, AbstractDataSource):
        raise TypeError(f"a {type(source).__name__} has batches, not items; give items_of(source, shuffle=7)")
    if not hasattr(source, "__iter__") and not hasattr(source, "__getitem__"):
        hint = "; call the function" if callable(source) else ""
        raise TypeError(f"source should be an iterable of items, not {source!r}{hint}")
    return source


def _function_of(name: str, transform: Any) -> Any:
    if isinstance(transform, type) and issubclass(transform, Stage):
        raise TypeError(f"{name} should be a function or a stage such as {transform.__name__}(func), not the class")
    if isinstance(transform, Stage):
        return transform
    call = Call(should_be_callable(name, transform))
    return call if call.draws or call.func is not transform else transform


def _size_of(batch_size: Any) -> Any:
    return batch_size if callable(batch_size) else whole("batch_size", batch_size)


def _combiner_of(combiner: Any, kwargs: dict[str, Any]) -> Any:
    if isinstance(combiner, Stage):
        if kwargs:
            raise TypeError(f"{', '.join(kwargs)}: the combiner is a stage, so its arguments belong there")
        return combiner
    should_be_callable("combiner", combiner)
    if kwargs:
        with contextlib.suppress(ValueError):  # some functions in C do not tell what they take
            inspect.signature(combiner).bind([], **kwargs)
    return Call(combiner, **kwargs)


def _seed_of(seed: Any) -> int | None:
    if seed is None:
        return None
    if isinstance(seed, np.random.SeedSequence):
        return entropy_of(seed)
    if not isinstance(seed, INTEGERS):
        raise TypeError(f"seed should be None, an int or a SeedSequence, not {seed!r}")
    return whole("seed", seed, least=0)
