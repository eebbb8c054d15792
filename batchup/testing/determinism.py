"""Check that a source gives the same batches on every pool, and when resumed."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np

from ..data_source import Batch
from ..engine import tree
from ..engine.checks import a_or_an
from ..engine.stacking import as_array
from ..loader import Loader
from ..loader.arguments import choose_pool
from ..work_pool import AbstractWorkerPool, WorkerProcessPool, WorkerThreadPool

__all__ = ["check_determinism"]

BatchesByStep: TypeAlias = dict[tuple[int, int], Batch]  # by epoch and step


def check_determinism(
    source: Any,
    batch_size: int = 16,
    *,
    shuffle: int | np.random.SeedSequence | None = 0,
    epochs: int = 2,
    n_batches: int = 25,
    processes: int = 3,
    pools: Iterable[Any] | None = None,
    **loader: Any,
) -> None:
    """Compare the batches made serially, in 1 to 3 threads, in processes, and after resuming at several steps.

    Parameters
    ----------
    source : data source
        A random-access source, with your transforms.
    batch_size : int, default 16
    shuffle : None, int or SeedSequence, default 0
    epochs : int, default 2
        The number of epochs.
    n_batches : int, default 25
        The largest number of batches to compare in each epoch.
    processes : int, default 3
        The largest number of processes to try; 0 skips processes.
    pools : iterable, optional
        Use these instead: what the `pool` of a `Loader` may be, such as executors of yours, which stay open. Each is
        also resumed where each other one was.
    **loader
        Further arguments of `Loader`, such as ``last="pad"``.

    Raises
    ------
    AssertionError
        At the first difference. The message names the batch, the field, the sample and the two values.

    Examples
    --------
    >>> from batchup import ArrayDataSource
    >>> ds = ArrayDataSource([np.zeros(64)])
    >>> def jitter(x):
    ...     return (x + rng.normal(size=x.shape),)
    >>> rng = np.random.RandomState(0)
    >>> check_determinism(ds.map(jitter), processes=0)
    Traceback (most recent call last):
        ...
    AssertionError: batch 0 of epoch 0, serially and serially again: field 0 is 1.764052345967664 and \
0.6722947570124355 in sample 0
    >>> def jitter(x, rng):
    ...     return (x + rng.normal(size=x.shape),)
    >>> check_determinism(ds.random_map(jitter), processes=0)
    """

    def loaded(pool: AbstractWorkerPool | None = None) -> Loader:
        return Loader(source, batch_size, shuffle=shuffle, pool=pool, **loader)

    def compare(how: str, pool: AbstractWorkerPool | None) -> list[dict[str, Any]]:
        """Compare a whole run. The states after its batches."""
        loader, states = loaded(pool), []
        for place, batch in _batches(loader, range(epochs), n_batches):
            states.append(loader.state_dict())
            if how == "serially":
                expected[place] = tree.map_leaves(_copied, batch)
            else:
                _compare(expected, iter([(place, batch)]), how)
        return states

    def resume(how: str, pool: AbstractWorkerPool, states: list[dict[str, Any]], saved: str = "") -> None:
        """Compare what comes after some of the states."""
        for state in states[:: max(1, (len(states) + 1) // 3)]:
            resumed = loaded(pool)
            resumed.load_state_dict(state)
            resumed_at = f"batch {state['step']} of epoch {state['epoch']}{saved}"
            left = _batches(resumed, [state["epoch"]], n_batches - state["step"])
            _compare(expected, left, f"{how}, resumed at {resumed_at}")

    expected: BatchesByStep = {}
    states = compare("serially", None)
    compare("serially again", None)
    if pools is None:
        for how, pool in _pools(processes):
            with pool:
                compare(how, pool)
                resume(how, pool, states)
        return
    with contextlib.ExitStack() as own:
        chosen = [(f"on {pool!r}", pool) for pool in _chosen(pools, own)]
        saved = [("serially", states), *((how, compare(how, pool)) for how, pool in chosen)]
        for how, pool in chosen:
            for by, states in saved:
                resume(how, pool, states, f", saved {by}")


def _batches(loader: Loader, epochs: Any, n_batches: int) -> Iterator[tuple[tuple[int, int], Batch]]:
    for epoch in epochs:
        for batch in itertools.islice(loader, n_batches):
            yield (epoch, loader.step - 1), batch


def _pools(processes: int) -> Iterator[tuple[str, AbstractWorkerPool]]:
    for n in (1, 2, 3):
        yield f"in {n} {'threads' if n > 1 else 'thread'}", WorkerThreadPool(n)
    for n in range(1, processes + 1):
        yield f"in {n} {'processes' if n > 1 else 'process'}", WorkerProcessPool(n)


def _chosen(pools: Iterable[Any], own: contextlib.ExitStack) -> Iterator[AbstractWorkerPool]:
    """The pools; those that are made here are closed with `own`."""
    if isinstance(pools, str) or not isinstance(pools, Iterable):
        raise TypeError(f"pools should be several pools, as [{pools!r}], not {pools!r}")
    for given in pools:
        pool, is_own = choose_pool(given)
        if pool is not None:
            yield own.enter_context(pool) if is_own else pool


def _copied(leaf: Any) -> Any:
    return leaf.copy() if isinstance(leaf, np.ndarray) else leaf


def _compare(expected: BatchesByStep, made: Iterator[tuple[tuple[int, int], Batch]], how: str) -> None:
    for (epoch, step), batch in made:
        where = f"batch {step} of epoch {epoch}, serially and {how}: "
        if (epoch, step) not in expected:
            raise AssertionError(where + "there is no such batch in the first run, but there is in the second")
        names, others = _fields(expected[epoch, step]), _fields(batch)
        if [*names] != [*others]:
            raise AssertionError(f"{where}the fields are {', '.join(names)}, and {', '.join(others)}")
        for name, field in names.items():
            difference = _difference(field, others[name])
            if difference:
                raise AssertionError(f"{where}field {name} is {difference}")


def _fields(batch: Batch, name: str = "") -> dict[str, Any]:
    """The leaves of a batch, by their paths from the root, such as "0.x"."""
    if not isinstance(batch, (tuple, dict)):
        return {name or "0": batch}
    branches = batch.items() if isinstance(batch, dict) else enumerate(batch)
    return {
        path: leaf
        for key, part in branches
        for path, leaf in _fields(part, f"{name}.{key}" if name else str(key)).items()
    }


def _difference(a: Any, b: Any) -> str | None:
    """How two fields differ; None if they are equal."""
    if type(a) is not type(b):
        return f"{a_or_an(type(a))} and {a_or_an(type(b))}"
    if not hasattr(a, "__len__") or isinstance(a, (str, bytes)):
        return None if _equal(a, b) else f"{a!r} and {b!r}"
    if isinstance(a, np.ndarray) and (a.dtype, a.shape) != (b.dtype, b.shape):
        return f"{a.dtype} of shape {a.shape} and {b.dtype} of shape {b.shape}"
    if len(a) != len(b):
        return f"of {len(a)} and of {len(b)} samples"
    for i, (left, right) in enumerate(zip(a, b, strict=True)):
        if not _equal(left, right):
            return f"{_first_unequal(left, right)} in sample {i}"
    return None


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(_equal, a, b))
    left, right = as_array(a), as_array(b)
    if left.dtype.kind != right.dtype.kind or not np.array_equal(np.ma.getmaskarray(left), np.ma.getmaskarray(right)):
        return False
    if left.shape != right.shape:
        return False
    return bool(np.all(np.ma.filled((left == right) | ((left != left) & (right != right)), True)))


def _first_unequal(a: Any, b: Any) -> str:
    left, right = np.ravel(a), np.ravel(b)
    for x, y in zip(left.tolist(), right.tolist(), strict=False):
        if not _equal(x, y):
            return f"{x!r} and {y!r}"
    return f"of shape {np.shape(a)} and of shape {np.shape(b)}"
