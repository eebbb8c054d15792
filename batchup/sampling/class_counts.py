"""Batches with given numbers of samples of each class."""

from __future__ import annotations

import reprlib
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from ..engine.checks import INTEGERS, Indices, kind_of, whole
from ..engine.fixed import MAKE_A_NEW_ONE, read_only
from ..engine.shuffle import Rng
from .base import AbstractSampler
from .cycles import Cycles
from .labels import class_index, classes_of
from .permutation import key_from

__all__ = ["ClassCountSampler", "rounded_shares"]

NUMBERS: Any = (*INTEGERS, float, np.floating)
PIECE = 16384  # indices that are made at a time


class ClassCountSampler(AbstractSampler):
    """Every batch has the same number of samples of each class.

    Each class is drawn in shuffled cycles: each sample once per cycle, and none twice in a batch. Within a batch, the
    samples of one class come together.

    Parameters
    ----------
    y : array-like, 1-D
        The label of each sample: integers, strings, a pandas categorical, or any hashable values.
    counts : dict, optional
        For each class, the number of its samples in a batch, an int; then the batch size has to be the sum. Or for each
        class its share of the batch, a float; then any batch size is possible, and the shares are rounded to whole
        samples. Classes that are not in the dict are left out.
    classes_per_batch, samples_per_class : int, optional
        Instead of `counts`: the number of different classes in a batch, and the number of samples of each. The classes
        are drawn in shuffled cycles, too.
    epoch : {"longest", "shortest"} or int, default "longest"
        When an epoch ends. "longest": when each sample of these classes came at least once; "shortest": before any
        class would start again; an int: after so many batches. Each epoch begins with new cycles.

    Raises
    ------
    ValueError
        If a class does not occur in `y`, or has too few samples for a batch, or if the batch size is not the sum of the
        counts.

    Examples
    --------
    >>> y = np.array(["healthy"] * 6 + ["ill"] * 2)
    >>> sampler = ClassCountSampler(y, {"healthy": 2, "ill": 1})
    >>> [y[batch].tolist() for batch in sampler.shuffled_indices_batch_iterator(3, np.random.default_rng(0))]
    [['healthy', 'healthy', 'ill'], ['healthy', 'healthy', 'ill'], ['healthy', 'healthy', 'ill']]
    >>> pairs = ClassCountSampler([0, 0, 1, 1, 2, 2], classes_per_batch=2, samples_per_class=2)
    >>> [batch.tolist() for batch in pairs.in_order_indices_batch_iterator(4)]
    [[0, 1, 2, 3], [4, 5, 0, 1]]
    """

    _fixed = dict.fromkeys(["codes", "names", "epoch", "counts", "wanted"], MAKE_A_NEW_ONE)

    def __init__(
        self,
        y: Any,
        counts: Mapping[Any, float] | None = None,
        *,
        classes_per_batch: int | None = None,
        samples_per_class: int | None = None,
        epoch: Literal["longest", "shortest"] | int = "longest",
    ) -> None:
        classes = classes_of(y)
        self.codes, self.names = read_only(classes.codes), tuple(classes.names)
        self.epoch = epoch if epoch in ("longest", "shortest") else _batches("epoch", epoch)
        self._members = classes.members()
        self._pairs: tuple[int, int] | None = None
        if counts is None:
            self._pairs = _pairs_of(classes_per_batch, samples_per_class, self.names, self._members)
            self._chosen: list[int] = list(range(len(self.names)))
        else:
            if classes_per_batch is not None or samples_per_class is not None:
                raise ValueError("counts should be left out when there are classes_per_batch and samples_per_class")
            _should_be_counts(counts)
            self._chosen = [class_index(classes, name, "counts") for name in counts]
        self.counts = tuple(counts.values()) if counts is not None else self._pairs
        self.wanted = None if counts is None else tuple(counts)
        self._shares = counts is not None and any(isinstance(n, (float, np.floating)) for n in counts.values())
        if counts is not None and not self._shares:
            self._counts_of(int(sum(counts.values())))  # refuses too many of a class
        self._fix()

    def num_indices_generated(self) -> int | float | None:
        """The number of samples in an epoch; None if `counts` are shares, since it then depends on the batch size."""
        if self._shares:
            return None
        batch_size = self._pairs[0] * self._pairs[1] if self._pairs else sum(map(int, self.counts or ()))
        return self.num_batches(batch_size) * batch_size

    def num_batches(self, batch_size: int, full: bool = False) -> int:
        counts = self._counts_of(whole("batch_size", batch_size))
        if isinstance(self.epoch, int):
            return self.epoch
        sizes = [len(self._members[i]) for i in self._chosen]
        if self.epoch == "longest":
            draws = max(-(-size // n) for size, n in zip(sizes, counts, strict=True))
        else:
            draws = min(size // n for size, n in zip(sizes, counts, strict=True))
        if self._pairs is None:
            return draws
        total, per_batch = draws * len(sizes), self._pairs[0]
        return -(-total // per_batch) if self.epoch == "longest" else max(total // per_batch, 1)

    def in_order_indices_batch_iterator(self, batch_size: int) -> Iterator[Indices]:
        return self.batches_from(0, batch_size)

    def shuffled_indices_batch_iterator(self, batch_size: int, shuffle_rng: Rng) -> Iterator[Indices]:
        return self.batches_from(0, batch_size, shuffle_rng)

    def batches_from(self, step: int, batch_size: int, shuffle_rng: Rng | None = None) -> Iterator[Indices]:
        counts = self._counts_of(whole("batch_size", batch_size))
        total = self.num_batches(batch_size)
        made = self._of_counts if self._pairs is None else self._of_pairs
        return made(step, total, counts, shuffle_rng)

    def _of_counts(self, step: int, total: int, counts: list[int], rng: Rng | None) -> Iterator[Indices]:
        key = None if rng is None else key_from(rng)
        members = [self._members[i] for i in self._chosen]
        cycles = [Cycles(len(some), n, key, (i,)) for i, some, n in zip(self._chosen, members, counts, strict=True)]
        most = max(PIECE // sum(counts), 1)
        for first in range(step, total, most):
            last = min(first + most, total)
            yield from np.concatenate(
                [some[each.draws(first, last)] for some, each in zip(members, cycles, strict=True)], axis=1
            )

    def _of_pairs(self, step: int, total: int, counts: list[int], rng: Rng | None) -> Iterator[Indices]:
        assert self._pairs is not None
        per_batch, count = self._pairs
        key, n = None if rng is None else key_from(rng), len(self._members)
        turns = Cycles(n, per_batch, key, (n,))
        cycles: dict[int, Cycles] = {}
        for at in range(step, total):
            parts = []
            for place, i in enumerate(turns.draws(at, at + 1)[0].tolist(), at * per_batch):
                if i not in cycles:
                    cycles[i] = Cycles(len(self._members[i]), count, key, (i,))
                draw = place // n  # each class has one turn in each cycle of classes
                parts.append(self._members[i][cycles[i].draws(draw, draw + 1)[0]])
            yield np.concatenate(parts)

    def _counts_of(self, batch_size: int) -> list[int]:
        """How many samples of each chosen class are in a batch of this size; of a class when it has its turn."""
        if self._pairs is not None:
            per_batch, count = self._pairs
            if batch_size != per_batch * count:
                raise ValueError(
                    f"batch_size should be {per_batch * count}, classes_per_batch={per_batch} times "
                    f"samples_per_class={count}, not {batch_size}"
                )
            return [count] * len(self._members)
        assert self.counts is not None
        assert self.wanted is not None
        if self._shares:
            counts = rounded_shares(self.counts, batch_size)
            if 0 in counts:
                i = counts.index(0)
                raise ValueError(
                    f"batch_size should be so large that each class has a sample in it, not {batch_size}: class "
                    f"{self.wanted[i]!r} has a share of {self.counts[i]}"
                )
        else:
            counts = [int(n) for n in self.counts]
            if sum(counts) != batch_size:
                raise ValueError(
                    f"batch_size should be {sum(counts)}, the sum of the counts, not {batch_size}; shares of the "
                    "batch, such as {0: 0.75, 1: 0.25}, go with any batch size"
                )
        for name, i, n in zip(self.wanted, self._chosen, counts, strict=True):
            if n > len(self._members[i]):
                raise ValueError(
                    f"a batch should have at most {len(self._members[i])} samples of class {name!r}, as there are no "
                    f"more, not {n}: none comes twice in a batch"
                )
        return counts

    def _should_fit(self, length: int) -> None:
        if len(self.codes) != length:
            raise ValueError(f"there should be one label per sample: {len(self.codes)} labels, {length} samples")

    def __repr__(self) -> str:
        if self._pairs is not None:
            how = f"classes_per_batch={self._pairs[0]}, samples_per_class={self._pairs[1]}"
        else:
            how = reprlib.repr(dict(zip(self.wanted or (), self.counts or (), strict=True)))
        return f"ClassCountSampler(<{len(self.codes)} labels>, {how}, epoch={self.epoch!r})"


def _batches(name: str, value: Any) -> int:
    try:
        return whole(name, value)
    except (TypeError, ValueError) as error:
        raise type(error)(f'{name} should be "longest", "shortest" or a number of batches, not {value!r}') from None


def _should_be_counts(counts: Any) -> None:
    if not isinstance(counts, Mapping) or not counts:
        raise TypeError(
            "counts should be a dict with the number of samples per batch of each class, such as {0: 24, 1: 8}, not "
            f"{kind_of(counts)}"
        )
    values = list(counts.values())
    shares = [n for n in values if isinstance(n, (float, np.floating))]
    for name, n in counts.items():
        if isinstance(n, bool) or not isinstance(n, NUMBERS) or not float(n) > 0:
            raise ValueError(f"counts should be above 0, but that of class {name!r} is {n!r}; leave the class out")
        if shares and not isinstance(n, (float, np.floating)):
            raise ValueError(f"counts should all be whole numbers, or all be shares, not {counts!r}")
    if shares and abs(float(sum(shares)) - 1) > 1e-6:
        raise ValueError(f"the shares of the classes should sum to 1, not to {float(sum(shares)):.6g}: {counts!r}")


def _pairs_of(
    classes_per_batch: Any, samples_per_class: Any, names: Sequence[Hashable], members: list[Indices]
) -> tuple[int, int]:
    if classes_per_batch is None or samples_per_class is None:
        raise TypeError("ClassCountSampler takes counts, or both classes_per_batch and samples_per_class")
    per_batch, count = whole("classes_per_batch", classes_per_batch), whole("samples_per_class", samples_per_class)
    if per_batch > len(names):
        raise ValueError(f"classes_per_batch should be at most {len(names)}, the number of classes, not {per_batch}")
    few = [(name, len(some)) for name, some in zip(names, members, strict=True) if len(some) < count]
    if few:
        name, n = min(few, key=lambda each: each[1])
        more = f" ({len(few)} classes have too few)" if len(few) > 1 else ""
        raise ValueError(
            f"samples_per_class should be at most {n}, the number of samples of class {name!r}, not {count}{more}: "
            "none comes twice in a batch"
        )
    return per_batch, count


def rounded_shares(shares: Any, n: int) -> list[int]:
    """Shares of `n` as whole numbers that sum to it: rounded down, and one more where most was cut off.

    >>> rounded_shares((0.5, 0.25, 0.25), 7)
    [3, 2, 2]
    """
    exact = [share * n for share in shares]
    counts = [int(each + 1e-9) for each in exact]
    most_cut = sorted(range(len(exact)), key=lambda i: counts[i] - exact[i])
    for i in most_cut[: n - sum(counts)]:
        counts[i] += 1
    return counts
