"""The contract of a source that wraps another one: tests that a subclass inherits."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ...data_source import (
    AbstractDataSource,
    ArrayDataSource,
    Batch,
    ChoiceDataSource,
    CompositeDataSource,
)
from ...loader import Loader
from ...sampling import WeightedSampler
from .comparable import plain

__all__ = ["WrapperContract"]


def _arrays(n: int, first: int = 0, **kwargs: Any) -> ArrayDataSource:
    return ArrayDataSource([np.arange(first, first + n), np.arange(n) % 3], **kwargs)


def _jittered(x: Any, y: Any, rng: np.random.Generator) -> Batch:
    return x + rng.random(len(x)), y


class _SomeFail:
    """An array-like with two samples that cannot be read."""

    def __len__(self) -> int:
        return 11

    def __getitem__(self, indices: Any) -> Any:
        if np.isin(indices, [3, 7]).any():
            raise OSError("cannot read samples 3 and 7")
        return np.asarray(indices) * 10


_SOURCES: dict[str, Callable[[], AbstractDataSource]] = {
    "arrays": lambda: _arrays(11),
    "dict": lambda: ArrayDataSource({"x": np.arange(11), "y": np.arange(11) / 2}),
    "subset": lambda: _arrays(20, indices=[5, 2, 19, 0, 7, 7, 1]),
    "repeats": lambda: _arrays(7, repeats=2),
    "trimmed composite": lambda: CompositeDataSource([_arrays(10), _arrays(3, 50, repeats=-1)]),
    "composite, not trimmed": lambda: CompositeDataSource([_arrays(10), _arrays(11, 50)], trim=False),
    "composite with batch_sizes": lambda: CompositeDataSource([_arrays(7), _arrays(30, 50)], batch_sizes=(1, 3)),
    "choice": lambda: ChoiceDataSource([_arrays(10), _arrays(9, 50)]),
    "stratified choice": lambda: ChoiceDataSource([_arrays(11), _arrays(6, 50)], stratified=True),
    "choice of unequal plans": lambda: ChoiceDataSource(
        [CompositeDataSource([_arrays(11), _arrays(3, 90)]), CompositeDataSource([_arrays(6), _arrays(6)])],
        stratified=True,
    ),
    "choice with weights": lambda: ChoiceDataSource([_arrays(10), _arrays(9, 50)], weights=[3, 1]),
    "random_map": lambda: _arrays(11).random_map(_jittered),
    "random_map in a composite": lambda: CompositeDataSource([_arrays(11).random_map(_jittered), _arrays(12)]),
}

_SETTINGS: list[dict[str, Any]] = [
    {"last": last, "shard": shard, "remainder": remainder}
    for last in ("keep", "drop", "pad", "wrap")
    for shard, remainder in [(None, "drop"), ((0, 2), "drop"), ((1, 2), "pad"), ((2, 3), "uneven")]
]


class WrapperContract:
    """Tests of a source of your own that wraps another one, run through a `Loader`. Define `wrap` in a subclass.

    Examples
    --------
    >>> class Logged(AbstractDataSource):
    ...     def __init__(self, source):
    ...         self.source = source
    ...     @property
    ...     def is_random_access(self):
    ...         return self.source.is_random_access
    ...     def num_samples(self, **kwargs):
    ...         return self.source.num_samples(**kwargs)
    ...     def plan(self, batch_size, **kwargs):
    ...         return self.source.plan(batch_size, **kwargs)
    ...     def samples_by_indices(self, indices):
    ...         return self.source.samples_by_indices(indices)
    ...     def samples_by_indices_nomapping(self, indices):
    ...         return self.source.samples_by_indices_nomapping(indices)
    >>> class TestLogged(WrapperContract):
    ...     def wrap(self, source):
    ...         return Logged(source)
    """

    def wrap(self, source: AbstractDataSource) -> AbstractDataSource:
        """A new wrapper around `source`, the same each time."""
        raise NotImplementedError("wrap should return a new data source over the one that it gets")

    def expected(self, batch: Batch) -> Batch:
        """The batch of the wrapper for a batch of the inner source; by default the same."""
        return batch

    def make(self, name: str) -> tuple[AbstractDataSource, AbstractDataSource]:
        """A source of the contract, and the wrapper around an equal one."""
        return _SOURCES[name](), self.wrap(_SOURCES[name]())

    def _expected(self, batch: Batch, last: str = "keep") -> Any:
        if last != "pad":
            return plain(self.expected(batch))
        if isinstance(batch, dict):
            fields = {name: part for name, part in batch.items() if name != "valid"}
            return plain({**self.expected(fields), "valid": batch["valid"]})
        return plain((*self.expected(batch[:-1]), batch[-1]))

    @pytest.mark.filterwarnings("ignore:epoch .* gave no batch")
    @pytest.mark.parametrize("settings", _SETTINGS, ids=lambda s: f"{s['last']}-{s['shard']}-{s['remainder']}")
    @pytest.mark.parametrize("name", _SOURCES)
    def test_a_loader_gives_the_batches_of_the_source(self, name: str, settings: dict[str, Any]) -> None:
        """For each treatment of short and of leftover batches, on every rank, with and without a shuffle."""
        draws = self.make(name)[0].plan(4).draws  # then two loaders without a seed differ
        for shuffle in (7, None) if settings["shard"] is None and not draws else (7,):
            bare, wrapped = (Loader(ds, 4, shuffle=shuffle, **settings) for ds in self.make(name))
            for _ in range(2):
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", "epoch .* gave no batch")
                    some = [list(itertools.islice(loader, 100)) for loader in (bare, wrapped)]

                assert [self._expected(batch, settings["last"]) for batch in some[0]] == list(map(plain, some[1]))
            assert _length(bare) == _length(wrapped)

    @pytest.mark.parametrize("name", _SOURCES)
    def test_it_resumes_at_every_step(self, name: str) -> None:
        """A new loader over a new wrapper resumes at the next batch after the state."""
        whole = list(map(plain, Loader(self.make(name)[1], 4, shuffle=7).steps(6)))
        for step in range(6):
            head = Loader(self.make(name)[1], 4, shuffle=7)
            came = list(map(plain, head.steps(step)))
            tail = Loader(self.make(name)[1], 4, shuffle=7)
            tail.load_state_dict(head.state_dict())

            assert whole == came + list(map(plain, tail.steps(6 - step)))

    @pytest.mark.parametrize("name", _SOURCES)
    def test_its_states_are_those_of_the_source(self, name: str) -> None:
        """A state of other data raises an error, as without the wrapper."""
        bare, wrapped = (Loader(ds, 4, shuffle=7) for ds in self.make(name))
        other = Loader(self.wrap(_arrays(20, indices=[5, 2, 19, 0, 7, 7, 2])), 4, shuffle=7)

        assert bare.state_dict() == wrapped.state_dict()
        with pytest.raises(ValueError, match="the state has"):
            other.load_state_dict(wrapped.state_dict())

    def test_samples_that_cannot_be_read_are_skipped(self) -> None:
        """They are left out of their batches; all others come."""
        ds = self.wrap(ArrayDataSource([_SomeFail(), np.arange(11)]))
        loader = Loader(ds, 4, shuffle=7, on_error="skip")
        with pytest.warns(UserWarning, match="cannot be"):
            batches = list(loader)

        assert {3, 7} == {skipped.sample for skipped in loader.skipped}
        assert 3 == len(batches)

    def test_samples_with_weights_come_without_an_end(self) -> None:
        """The loader has no length, and gives as many batches as you ask for."""
        weights = np.arange(11.0)
        bare = Loader(_arrays(11, sampler=WeightedSampler(weights)), 4, shuffle=7)
        wrapped = Loader(self.wrap(_arrays(11, sampler=WeightedSampler(weights))), 4, shuffle=7)

        assert [self._expected(batch) for batch in bare.steps(5)] == list(map(plain, wrapped.steps(5)))
        with pytest.raises(TypeError, match="no end"):
            len(wrapped)


def _length(loader: Loader) -> int | None:
    try:
        return len(loader)
    except TypeError:
        return None
