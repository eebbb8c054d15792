"""What an array-like over a file has to do, as tests that a subclass inherits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from ...data_source import ArrayDataSource
from ...loader import Loader
from ...work_pool import AbstractWorkerPool, WorkerProcessPool, WorkerThreadPool
from .comparable import plain
from .samplers import AccessorContract

__all__ = ["ArrayLikeContract"]


class ArrayLikeContract(AccessorContract):
    """Tests of an array-like that reads from files, such as those of `batchup.storage`: `make` says which. It needs at
    least two samples, of numbers.

    In addition to what any accessor does, it has ``shape`` and ``dtype``, takes slices and negative integers, and gives
    the same batches in threads, in processes, and in a resumed run.

    Examples
    --------
    >>> from batchup.storage import Windows
    >>> class TestWindows(ArrayLikeContract):
    ...     def make(self):
    ...         return Windows(np.arange(20), length=3)
    """

    def expected(self) -> np.ndarray[Any, np.dtype[Any]] | None:
        """All samples, as one array; None if they should not be compared with the file."""
        return None

    def test_it_holds_what_it_should(self) -> None:
        """All samples, in order, are those that were stored."""
        expected = self.expected()
        if expected is None:
            pytest.skip("the contract does not say what is stored")
        array = self.make()

        assert plain(expected) == plain(array[np.arange(len(array))])

    def test_its_shape_begins_with_its_length(self) -> None:
        """``len(array)`` is ``array.shape[0]``."""
        array = self.make()

        assert len(array) == array.shape[0]

    def test_shape_and_dtype_are_those_of_batches(self) -> None:
        """A batch has the rest of the shape, and the dtype; also one without samples."""
        array = self.make()
        for positions in [[], [0], [1, 0, 1]]:
            batch = array[np.array(positions, np.intp)]

            assert (len(positions), *array.shape[1:]) == batch.shape
            assert array.dtype == batch.dtype

    def test_its_chunks_are_none_or_have_the_axes_of_the_shape(self) -> None:
        """``chunks`` is None, or says the shape of what is stored in one piece."""
        array = self.make()
        chunks = getattr(array, "chunks", None)

        assert chunks is None or (len(array.shape) == len(chunks) and all(n > 0 for n in chunks))

    def test_a_slice_gives_what_its_indices_give(self) -> None:
        """``array[1:]`` is ``array[numpy.arange(1, len(array))]``."""
        array = self.make()
        for some in [slice(None), slice(1, None), slice(None, None, -1), slice(1, 1), slice(-2, None)]:
            assert plain(array[np.arange(len(array))[some]]) == plain(array[some])

    def test_any_order_and_repeats(self) -> None:
        """A batch has the samples in the requested order, with repeats."""
        array = self.make()
        indices = np.random.default_rng(0).integers(0, len(array), 3 * len(array))

        assert plain(array[np.arange(len(array))][indices]) == plain(array[indices])

    def test_an_index_that_is_too_large_is_refused(self) -> None:
        """`IndexError`, so that a loop over the array ends."""
        array = self.make()

        for index in (len(array), np.array([0, len(array)])):
            with pytest.raises(IndexError):
                array[index]

    def test_writing_into_a_batch_changes_no_other(self) -> None:
        """A batch can be written to, and shares no memory with other batches."""
        array = self.make()
        once = plain(array[np.array([0, 1])])
        batch = array[np.array([0, 1])]
        batch[...] = np.zeros((), batch.dtype)

        assert once == plain(array[np.array([0, 1])])

    def test_threads_read_at_the_same_time(self) -> None:
        """Several threads that share it read the same as one."""
        array = self.make()
        picks = [np.random.default_rng(seed).integers(0, len(array), 8) for seed in range(40)]
        with ThreadPoolExecutor(4) as threads:
            found = list(threads.map(array.__getitem__, picks, timeout=60))

        assert [plain(array[pick]) for pick in picks] == [plain(batch) for batch in found]

    @pytest.mark.timeout(120)
    @pytest.mark.parametrize("pool", [WorkerThreadPool, WorkerProcessPool])
    def test_pools_give_the_same_batches(self, pool: Any) -> None:
        """A shuffled epoch is the same with threads, processes or no pool; also when resumed, and with ranks."""
        with pool(2) as workers:
            self.same_in(workers)

    def same_in(self, pool: AbstractWorkerPool) -> None:
        source = ArrayDataSource([self.make()])
        serial = [plain(batch) for batch in source.batch_iterator(3, shuffle=7)]
        found = pool.parallel_data_source(source).batch_iterator(3, shuffle=7)

        assert serial == [plain(batch) for batch in found]

        loader = Loader(source, 1, shuffle=7, pool=pool)
        once = [plain(batch) for batch in loader]
        shards = [Loader(source, 1, shuffle=7, pool=pool, shard=(rank, 2), remainder="uneven") for rank in range(2)]
        parts = [[plain(batch) for batch in each] for each in shards]
        loader.load_state_dict({**loader.state_dict(), "epoch": 0, "step": 1})

        assert once[1:] == [plain(batch) for batch in loader]
        assert [once[::2], once[1::2]] == parts

    def test_a_resumed_run_goes_on_with_the_same_batches(self) -> None:
        """A resumed run gives exactly the batches that were not delivered before."""
        whole = [plain(batch) for batch in Loader(ArrayDataSource([self.make()]), 1, shuffle=7)]
        first = Loader(ArrayDataSource([self.make()]), 1, shuffle=7)
        head = [plain(next(iter(first)))]
        second = Loader(ArrayDataSource([self.make()]), 1, shuffle=7)
        second.load_state_dict(first.state_dict())

        assert whole == head + [plain(batch) for batch in second]

    def test_ranks_share_out_an_epoch(self) -> None:
        """Two ranks together see what one rank sees, each its own part."""
        whole = [plain(batch) for batch in Loader(ArrayDataSource([self.make()]), 1, shuffle=7)]
        parts = [Loader(ArrayDataSource([self.make()]), 1, shuffle=7, shard=(rank, 2)) for rank in range(2)]
        found = [plain(batch) for part in parts for batch in part]

        assert found
        assert all(batch in whole for batch in found)

    def test_it_can_be_closed_and_read_again(self) -> None:
        """After ``close()``, reading gives the same samples."""
        array = self.make()
        if not hasattr(array, "close"):
            pytest.skip("there is nothing to close")
        once = plain(array[np.array([1, 0])])
        array.close()
        array.close()

        assert once == plain(array[np.array([1, 0])])
