"""Test suites for samplers and for array-likes. Subclass one to test your own."""

from __future__ import annotations

import contextlib
import itertools
import pickle
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from ...engine.shuffle import Rng
from ...sampling import AbstractSampler
from .comparable import SOME, bad_batch_sizes, joined, plain, some

__all__ = ["AccessorContract", "SamplerContract"]

both_generators = pytest.mark.parametrize("new_rng", [np.random.RandomState, np.random.default_rng])


class SamplerContract:
    """Tests of a sampler. Subclass it, and let `make` return yours.

    Attributes
    ----------
    n_samples : int
        The number of samples of the data. All indices should be below it.
    batch_size : int, optional
        The only batch size that the sampler takes. By default it takes any.

    Examples
    --------
    >>> from batchup.sampling import StandardSampler
    >>> class TestTwice(SamplerContract):
    ...     n_samples = 7
    ...
    ...     def make(self):
    ...         return StandardSampler(7, repeats=2)
    ...
    ...     def one_go(self):
    ...         return list(range(7)) * 2
    """

    n_samples: int
    batch_size: int | None = None

    def make(self) -> AbstractSampler:
        """A new sampler, the same each time."""
        raise NotImplementedError("make should return a new sampler")

    def one_go(self) -> Sequence[int] | None:
        """The indices of one pass through the sampler, in any order: each of `n_samples` once, unless you override it.

        Return None if the sampler draws with replacement or is infinite.
        """
        return range(self.n_samples)

    def taken(self, batch_size: Any) -> Any:
        """The batch size to use instead of `batch_size`, if the sampler takes only one."""
        is_one = isinstance(batch_size, int) and not isinstance(batch_size, bool) and batch_size > 0
        return self.batch_size if is_one and self.batch_size is not None else batch_size

    def in_order(self, batch_size: int, sampler: AbstractSampler | None = None) -> Iterator[Any]:
        try:
            return (sampler or self.make()).in_order_indices_batch_iterator(self.taken(batch_size))
        except NotImplementedError:  # should be raised by the call, not by the first batch
            pytest.skip("the sampler has no order")

    def shuffled(self, batch_size: int, rng: Rng, sampler: AbstractSampler | None = None) -> Iterator[Any]:
        return (sampler or self.make()).shuffled_indices_batch_iterator(self.taken(batch_size), rng)

    def test_batches_are_arrays_of_indices_of_samples(self) -> None:
        """A batch is a 1-D array of integers; each is the index of a sample."""
        for batch in itertools.islice(self.shuffled(3, np.random.RandomState(0)), SOME):
            assert isinstance(batch, np.ndarray)
            assert ("i", 1) == (batch.dtype.kind, batch.ndim)
            assert set(batch.tolist()) <= set(range(self.n_samples))

    @pytest.mark.parametrize("batch_size", [1, 2, 3, 1000])
    def test_only_the_last_batch_is_short(self, batch_size: int) -> None:
        """All batches but the last have `batch_size` indices; the last has at least one. A sampler with `has_own_sizes`
        says how many indices a batch should have."""
        sampler, batch_size = self.make(), self.taken(batch_size)
        batches = list(itertools.islice(self.shuffled(batch_size, np.random.RandomState(0), sampler), SOME))
        sizes, full = [len(b) for b in batches], [sampler.full_size(b, batch_size) for b in batches]

        assert all(0 < size <= most <= batch_size for size, most in zip(sizes, full, strict=True))
        if not sampler.has_own_sizes:
            assert [batch_size] * len(sizes[:-1]) == sizes[:-1]

    @pytest.mark.parametrize("batch_size", [1, 3, 1000])
    def test_it_says_how_many_batches_there_are(self, batch_size: int) -> None:
        """`num_batches` is the number of batches, and of those that are not short; infinity, or None if unknown."""
        sampler, batch_size = self.make(), self.taken(batch_size)
        most = 10 * self.n_samples + 10
        batches = list(itertools.islice(self.shuffled(batch_size, np.random.RandomState(0), sampler), most))
        full = [len(b) == sampler.full_size(b, batch_size) for b in batches]

        for only_full, n in [(False, len(full)), (True, sum(full))]:
            said = sampler.num_batches(batch_size, only_full)
            assert said in (n, None) or (said == np.inf and len(batches) == most)

    @pytest.mark.parametrize("step", [0, 1, 2, 1000])
    def test_it_starts_at_any_step(self, step: int) -> None:
        """`batches_from` gives what comes after the first `step` batches, shuffled and in order."""
        size = self.taken(2)
        rest = itertools.islice(self.shuffled(size, np.random.RandomState(3)), step, step + SOME)
        started = self.make().batches_from(step, size, np.random.RandomState(3))

        assert [b.tolist() for b in rest] == [b.tolist() for b in itertools.islice(started, SOME)]
        rest = itertools.islice(self.in_order(size), step, step + SOME)
        started = self.make().batches_from(step, size)
        assert [b.tolist() for b in rest] == [b.tolist() for b in itertools.islice(started, SOME)]

    @both_generators
    def test_shuffled_every_sample_comes_as_often_as_it_should(self, new_rng: Callable[[int], Rng]) -> None:
        """A shuffled pass gives the indices of `one_go`, in some order."""
        expected = self.one_go()
        if expected is None:
            pytest.skip("the sampler draws with replacement or is infinite")

        assert sorted(expected) == sorted(joined(self.shuffled(3, new_rng(0))))

    def test_in_order_every_sample_comes_as_often_as_it_should(self) -> None:
        """A pass in order gives the indices of `one_go`, in some order."""
        expected = self.one_go()
        if expected is None:
            pytest.skip("the sampler draws with replacement or is infinite")

        assert sorted(expected) == sorted(joined(self.in_order(3)))

    def test_it_says_how_many_there_are(self) -> None:
        """`num_indices_generated` is the number of indices, infinity, or None if it is unknown."""
        said, expected = self.make().num_indices_generated(), self.one_go()
        batches = list(itertools.islice(self.shuffled(1, np.random.RandomState(0)), 10 * self.n_samples))

        if expected is not None:
            assert said in (len(expected), None)
        assert said in (sum(map(len, batches)), None) or (said == np.inf and len(batches) == 10 * self.n_samples)

    @both_generators
    def test_the_generator_decides(self, new_rng: Callable[[int], Rng]) -> None:
        """Generators in equal states give equal batches, whatever else was drawn before."""
        sampler = self.make()
        first = some(self.shuffled(3, new_rng(7), sampler))
        np.random.random()
        again = some(self.shuffled(3, new_rng(7), sampler))

        assert first == again

    @both_generators
    def test_another_generator_gives_another_order(self, new_rng: Callable[[int], Rng]) -> None:
        """Different seeds give different orders, unless there are fewer than two samples."""
        orders = [joined(itertools.islice(self.shuffled(3, new_rng(seed)), SOME)) for seed in range(20)]
        if len({index for order in orders for index in order}) < 2:
            pytest.skip("there are no two samples to shuffle")

        assert any(order != orders[0] for order in orders)

    def test_in_order_is_the_same_each_time(self) -> None:
        """A second pass, and two passes at the same time, give the same batches."""
        sampler = self.make()
        once = some(self.in_order(3, sampler))
        side_by_side = zip(self.in_order(3, sampler), self.in_order(3, sampler), strict=True)

        assert [(batch, batch) for batch in once] == some(side_by_side)

    def test_writing_into_a_batch_changes_nothing_else(self) -> None:
        """Writing into the indices of a batch does not change a later pass."""
        sampler = self.make()
        expected = some(self.shuffled(3, np.random.RandomState(0), sampler))
        _spoil(self.shuffled(3, np.random.RandomState(1), sampler))
        with contextlib.suppress(NotImplementedError):
            _spoil(sampler.in_order_indices_batch_iterator(self.taken(3)))

        assert expected == some(self.shuffled(3, np.random.RandomState(0), sampler))

    def test_positions_begin_where_the_order_begins(self) -> None:
        """`map_indices` maps position 0 to the first index of a pass in order; positions may be repeated."""
        first = next(self.in_order(1), None)
        if first is None:
            pytest.skip("the sampler has no samples")

        assert [first[0], first[0]] == list(self.make().map_indices(np.array([0, 0])))

    def test_it_pickles(self) -> None:
        """A sampler gives the same batches after pickling."""
        unpickled = pickle.loads(pickle.dumps(self.make()))

        assert some(self.shuffled(3, np.random.RandomState(0))) == some(
            self.shuffled(3, np.random.RandomState(0), unpickled)
        )

    @bad_batch_sizes
    def test_a_batch_size_that_is_none_is_refused(self, batch_size: Any) -> None:
        """A `batch_size` that is not a positive integer raises an error before the first batch."""
        with pytest.raises((TypeError, ValueError)):
            next(self.shuffled(batch_size, np.random.RandomState(0)))


class AccessorContract:
    """Tests of an array-like for `ArrayDataSource`. Let `make` return yours, with at least two samples.

    Examples
    --------
    >>> class Squares:
    ...     def __len__(self):
    ...         return 100
    ...
    ...     def __getitem__(self, index):
    ...         return index ** 2
    >>> class TestSquares(AccessorContract):
    ...     def make(self):
    ...         return Squares()
    """

    def make(self) -> Any:
        """A new accessor, the same each time."""
        raise NotImplementedError("make should return an object with __len__ and __getitem__")

    def singles(self, positions: Sequence[int]) -> list[Any]:
        accessor = self.make()
        return [_plain_values(accessor[i]) for i in positions]

    @pytest.mark.parametrize("positions", [[0], [0, 1], [1, 0], [-1], [-1, 0, 0]])
    def test_an_array_of_indices_gives_the_samples_in_that_order(self, positions: list[int]) -> None:
        """Indexing by an array gives the samples of its indices, one after the other."""
        accessor = self.make()
        indices = np.array(positions) % len(accessor)

        assert self.singles(indices.tolist()) == [_plain_values(each) for each in accessor[indices]]

    def test_an_integer_of_numpy_is_an_integer(self) -> None:
        """`accessor[numpy.int64(1)]` is `accessor[1]`."""
        assert self.singles([1]) == [_plain_values(self.make()[np.int64(1)])]

    def test_asking_again_gives_the_same(self) -> None:
        """A sample does not depend on earlier requests."""
        accessor = self.make()
        once = plain(accessor[np.array([0, 1])])
        accessor[np.array([1])]

        assert once == plain(accessor[np.array([0, 1])])

    def test_it_pickles(self) -> None:
        """An accessor gives the same samples after pickling, so that it can be sent to worker processes."""
        unpickled = pickle.loads(pickle.dumps(self.make()))

        assert len(self.make()) == len(unpickled)
        assert plain(self.make()[np.array([1, 0])]) == plain(unpickled[np.array([1, 0])])


def _plain_values(x: Any) -> Any:
    """One sample without its dtype: indexing by an integer and by an array may give different dtypes."""
    is_array = hasattr(x, "__array__") or hasattr(x, "__array_interface__")
    return plain(np.asarray(np.ma.filled(x)))[2] if is_array or isinstance(x, (bool, int, float, complex)) else plain(x)


def _spoil(batches: Iterator[Any]) -> None:
    for batch in itertools.islice(batches, SOME):
        if batch.flags.writeable:
            batch[...] = 0
