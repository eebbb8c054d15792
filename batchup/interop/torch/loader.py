"""PyTorch's ``DataLoader``, with batchup's workers, states and errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
import torch.utils.data

from ...engine.closing import Closing
from ...engine.cores import cores
from ...engine.trace import verdict
from ...loader.stats import LoaderStats
from .epochs import Epochs

__all__ = ["DataLoader"]


class DataLoader(Closing, torch.utils.data.DataLoader):  # type: ignore[misc]
    """``torch.utils.data.DataLoader`` with batchup's workers: change the import, and keep the rest.

    The arguments, the order of the samples and the batches are those of PyTorch. In addition:

    * Worker processes start clean (they are not forked), and live until the loader is closed or garbage-collected.
    * Random numbers that a dataset draws from `torch`, `random` and `numpy.random` do not depend on the number of
      workers.
    * `state_dict` and `load_state_dict` resume at the exact next batch, with any number of workers.
    * An error names the batch and the sample. A worker that dies is replaced.
    * `explain` says what limits the loop.

    Parameters
    ----------
    dataset : Dataset
        A map-style dataset, or an ``IterableDataset``.
    batch_size : int or None, default 1
        Samples per batch; None gives single samples.
    shuffle : bool, default False
        Whether to draw a new order for each epoch.
    sampler : Sampler or iterable, optional
        Yields the indices, in order. It runs in the main process.
    batch_sampler : Sampler or iterable, optional
        Yields lists of indices, one for each batch.
    num_workers : int, default 0
        The number of worker processes. With 0, the loop itself makes the batches.
    collate_fn : callable, optional
        Makes a batch from a list of samples. It may be a lambda.
    pin_memory : bool, default False
        Whether to copy batches to pinned memory, ahead of the loop. Without a GPU, this has no effect.
    drop_last : bool, default False
        Whether to leave out the last batch if it is short.
    timeout : float, default 0
        How many seconds to wait for a batch; with 0, there is no limit.
    worker_init_fn : callable, optional
        ``fn(worker_id)``, called once in each worker process.
    multiprocessing_context : str or context, optional
        "spawn" and "forkserver" have no effect, since workers start clean. "fork" raises an error.
    generator : torch.Generator, optional
        Draws the order, and the seeds of workers.
    prefetch_factor : int, optional
        How many batches to prefetch per worker; 2 by default.
    persistent_workers : bool, default False
        Has no effect: workers always stay.
    pin_memory_device : str, optional
    in_order : bool, default True
        Has no effect: batches always come in order.

    Raises
    ------
    ValueError, TypeError
        As PyTorch does; also for what is not supported: forked workers, and data pipes.

    Examples
    --------
    >>> from torch.utils.data import TensorDataset
    >>> dataset = TensorDataset(torch.arange(5))
    >>> loader = DataLoader(dataset, batch_size=2, shuffle=True, generator=torch.Generator().manual_seed(7))
    >>> batches = iter(loader)
    >>> first, state = next(batches), loader.state_dict()
    >>> loader.load_state_dict(state)
    >>> [x for (x,) in loader]
    [tensor([0, 4]), tensor([2])]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[list[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        _should_be_possible(dataset, multiprocessing_context)
        super().__init__(
            dataset,
            batch_size,
            shuffle,
            sampler,
            batch_sampler,
            num_workers,
            collate_fn,
            pin_memory,
            drop_last,
            timeout,
            worker_init_fn,
            multiprocessing_context,
            generator,
            prefetch_factor=prefetch_factor,
            persistent_workers=persistent_workers,
            pin_memory_device=pin_memory_device,
            in_order=in_order,
        )
        if timeout and not num_workers:
            raise ValueError(f"timeout should be 0 with num_workers=0, not {timeout}: nobody else makes the batches")
        self._epochs = Epochs(self)

    @property
    def epoch(self) -> int:
        """The number of the current epoch, or of the next one between two epochs."""
        return self._epochs.run.epoch

    @property
    def step(self) -> int:
        """The number of batches of this epoch that were delivered."""
        return self._epochs.run.step

    def __iter__(self) -> Iterator[Any]:
        """The batches of the next epoch; after `load_state_dict`, the rest of the epoch of the state."""
        return self._epochs.begin()

    def state_dict(self) -> dict[str, Any]:
        """The position of the run, as plain data. Batches count when they are delivered.

        Returns
        -------
        dict
        """
        return self._epochs.state_dict()

    def _state_of_next_epoch(self) -> dict[str, Any]:
        """As `Loader._state_of_next_epoch`."""
        return self._epochs.state_of_next_epoch()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume a run: the next loop begins with the exact next batch after `state` was saved.

        Raises
        ------
        ValueError
            If the state is of another run, or of another kind of loader. The error says what differs.
        """
        self._epochs.load_state_dict(state)

    def resume(self) -> Iterator[Any]:
        """The rest of the current epoch: use it where a loop was interrupted, by an error or by Ctrl-C."""
        self.load_state_dict(self.state_dict())
        return iter(self)

    def stats(self) -> LoaderStats:
        """What was delivered so far, and where the time went.

        Returns
        -------
        LoaderStats
        """
        trace, pools = self._epochs.trace, self._epochs.pools
        counts = [pool.stats() for pool in pools] or [{"workers": 0}]
        summed = {name: sum(each[name] for each in counts) for name in counts[0]}
        return LoaderStats(trace.batches, trace.seconds, trace.waited, trace.busy, trace.of_stages(), 0, **summed)

    def explain(self) -> str:
        """What limits the loop, and what would help, in one sentence."""
        pools = self._epochs.pools
        kind = "processes" if any(pool.isolated for pool in pools) else "threads"
        said = verdict(self._epochs.trace, sum(pool.workers for pool in pools), kind, cores())
        return said.replace("a pool would", "num_workers would").replace("try pool=None", "try num_workers=0")

    def close(self) -> None:
        """End the workers. The next loop begins new ones."""
        self._epochs.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_epochs": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__dict__["_epochs"] = Epochs(self)


def _should_be_possible(dataset: Any, context: Any) -> None:
    method = context if isinstance(context, str) else getattr(context, "get_start_method", lambda: None)()
    if method == "fork":
        raise ValueError(
            "multiprocessing_context should be left out: workers start clean here, and are never forked; what they "
            "need is pickled, and sent once"
        )
    pipes = torch.utils.data
    if isinstance(dataset, (pipes.IterDataPipe, pipes.MapDataPipe)):
        raise TypeError(
            f"dataset should be a Dataset or an IterableDataset, not the data pipe {type(dataset).__name__}: for "
            "those, use torch.utils.data.DataLoader"
        )
