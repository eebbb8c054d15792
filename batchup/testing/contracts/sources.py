"""Contracts of data sources: tests that a subclass inherits."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from ...data_source import AbstractDataSource, Batch
from ...engine import tree
from ...engine.shuffle import Rng
from .comparable import SOME, bad_batch_sizes, plain, some

__all__ = ["RandomAccessSourceContract", "SequentialSourceContract", "SourceContract"]


class SourceContract:
    """Tests of any data source. Subclass `RandomAccessSourceContract` or `SequentialSourceContract` instead, which have
    more tests.
    """

    def make(self) -> AbstractDataSource:
        """A new source to test, the same each time."""
        raise NotImplementedError("make should return a new data source")

    def batches(self, batch_size: int, **kwargs: Any) -> Iterator[Batch]:
        return self.make().batch_iterator(batch_size, **kwargs)

    @pytest.mark.parametrize("batch_size", [1, 3, 1000])
    def test_batches_have_between_one_and_batch_size_samples(self, batch_size: int) -> None:
        """A batch is a tuple or a dict of parts of the same length, at most `batch_size`."""
        for batch in itertools.islice(self.batches(batch_size), SOME):
            assert isinstance(batch, (tuple, dict))
            assert 1 == len({len(leaf) for leaf in tree.leaves(batch)})
            assert 1 <= tree.length(batch) <= batch_size

    def test_it_gives_as_many_samples_as_it_says(self) -> None:
        """`num_samples` is the number of samples that come, infinity, or None if it is unknown."""
        said = self.make().num_samples()
        if said is None:
            pytest.skip("the source does not know how many samples it has")
        came = sum(tree.length(batch) for batch in itertools.islice(self.batches(3), 1000))

        assert said == came or (said == np.inf and came == 3000)

    def test_equal_sources_give_equal_batches(self) -> None:
        """Without a shuffle, nothing is random."""
        assert some(self.batches(3)) == some(self.batches(3))

    def test_mapping_changes_no_more_than_the_function_does(self) -> None:
        """`map` gives what the function returns for each batch."""
        expected = [(batch,) for batch in some(self.batches(3))]
        mapped = self.make().map(lambda *batch: (batch[0] if batch and isinstance(batch[0], dict) else batch,))

        assert expected == some(mapped.batch_iterator(3))


class SequentialSourceContract(SourceContract):
    """Tests of a sequential source. Define `make` in a subclass.

    The source that `make` returns gives at least one batch, and its batches have at most `batch_size` samples.

    Examples
    --------
    >>> def counted(batch_size, shuffle=None):
    ...     for first in range(0, 10, batch_size):
    ...         yield (np.arange(first, min(first + batch_size, 10)),)
    >>> class TestCounted(SequentialSourceContract):
    ...     def make(self):
    ...         return CallableDataSource(counted, 10)
    """

    def test_it_does_not_pretend_to_fetch_by_index(self) -> None:
        """There are no picks and no fetch: asking for either raises an error at once."""
        ds = self.make()

        assert ds.is_random_access is False
        with pytest.raises((NotImplementedError, TypeError)):
            ds.batch_indices_iterator(3)
        for fetch in (ds.samples_by_indices, ds.samples_by_indices_nomapping):
            with pytest.raises((NotImplementedError, TypeError)):
                fetch(np.array([0]))


class RandomAccessSourceContract(SourceContract):
    """Tests of a source that fetches samples by index. Define `make` in a subclass.

    Examples
    --------
    >>> class TestTwoArrays(RandomAccessSourceContract):
    ...     def make(self):
    ...         return ArrayDataSource([np.arange(10), np.arange(10) % 2])
    """

    @pytest.mark.parametrize("shuffle", [None, np.random.RandomState, np.random.default_rng])
    @pytest.mark.parametrize("batch_size", [1, 3, 1000])
    def test_batches_are_fetched_picks(self, batch_size: int, shuffle: Callable[[int], Rng] | None) -> None:
        """Fetching each pick of the plan gives the batches."""
        ds = self.make()
        new = {} if shuffle is None else {"shuffle": shuffle}
        plan = ds.batch_indices_iterator(batch_size, **{name: rng(5) for name, rng in new.items()})
        fetched = map(ds.samples_by_indices_nomapping, plan)

        assert some(fetched) == some(ds.batch_iterator(batch_size, **{name: rng(5) for name, rng in new.items()}))

    def test_it_says_that_it_is_random_access(self) -> None:
        """`is_random_access` is a property, and True."""
        assert self.make().is_random_access is True

    def test_a_fetch_depends_on_its_pick_alone(self) -> None:
        """Picks may be fetched in any order, more than once."""
        ds = self.make()
        plan = list(itertools.islice(ds.batch_indices_iterator(3, shuffle=np.random.RandomState(0)), SOME))
        forwards = [plain(ds.samples_by_indices_nomapping(pick)) for pick in plan]
        backwards = [plain(ds.samples_by_indices_nomapping(pick)) for pick in reversed(plan)]

        assert forwards == backwards[::-1]

    def test_source_and_picks_pickle(self) -> None:
        """A source and a pick give the same batch after pickling, so that worker processes can fetch it."""
        ds = self.make()
        plan = list(itertools.islice(ds.batch_indices_iterator(3, shuffle=np.random.RandomState(0)), SOME))
        ds_there, plan_there = pickle.loads(pickle.dumps((ds, plan)))

        assert some(map(ds.samples_by_indices_nomapping, plan)) == some(
            map(ds_there.samples_by_indices_nomapping, plan_there)
        )

    @bad_batch_sizes
    def test_a_batch_size_that_is_none_is_refused(self, batch_size: Any) -> None:
        """A `batch_size` that is not a positive integer raises an error before the first batch."""
        with pytest.raises((TypeError, ValueError)):
            next(self.batches(batch_size, shuffle=np.random.RandomState(0)))

    def test_a_misspelt_keyword_is_refused(self) -> None:
        """A misspelled keyword such as `shufle=True` raises a `TypeError` at once."""
        with pytest.raises(TypeError, match="shufle"):
            self.batches(3, shufle=True)
