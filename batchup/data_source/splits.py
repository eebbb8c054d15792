"""Parts of a source: a subset, the first samples, those where a mask is true, and named parts that share no sample."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

from .. import sampling
from ..engine.checks import INTEGERS, Indices, a_or_an, index_array, kind_of, whole
from ..engine.rng import rng_at

__all__ = ["Subsets"]

Source = TypeVar("Source")


class Subsets:
    """The methods that make parts of a source. Abstract."""

    def subset(self, indices: npt.ArrayLike) -> Self:
        """The same source over some of its samples, each once.

        Parameters
        ----------
        indices : array of int, 1-D
            Positions in this source, in the order to use when not shuffled.

        Returns
        -------
        data source
            Of the same class, over the same data. It has the same functions, of `map` and `random_map`.

        Raises
        ------
        TypeError
            If the source does not fetch by index, has a weighted sampler, or is a choice.

        Examples
        --------
        >>> from batchup import ArrayDataSource
        >>> ds = ArrayDataSource([np.arange(10) * 10]).map(lambda x: (x + 1,))
        >>> next(ds.subset([7, 2]).batch_iterator(5))
        (array([71, 21]),)
        """
        return part_of(self, index_array("indices", indices, below=size_of(self)))

    def take(self, n: int) -> Self:
        """The same source over its first `n` samples, or all if there are fewer.

        Parameters
        ----------
        n : int

        Returns
        -------
        data source

        Examples
        --------
        >>> from batchup import ArrayDataSource
        >>> ArrayDataSource([np.arange(10)]).take(3).num_samples()
        3
        """
        return part_of(self, np.arange(min(whole("n", n, least=0), size_of(self))))

    def where(self, mask: npt.ArrayLike) -> Self:
        """The same source over the samples where a mask is true.

        Parameters
        ----------
        mask : array of bool, 1-D
            One for each sample of this source.

        Returns
        -------
        data source

        Examples
        --------
        >>> from batchup import ArrayDataSource
        >>> y = np.array([3, 1, 3, 0])
        >>> next(ArrayDataSource([np.arange(4)]).where(y == 3).batch_iterator(5))
        (array([0, 2]),)
        """
        chosen, n = np.asarray(mask), size_of(self)
        if chosen.dtype.kind != "b" or chosen.shape != (n,):
            raise ValueError(
                f"mask should be a 1-D array with a bool for each of the {n} samples, such as y == 3, not an array of "
                f"{chosen.dtype} of shape {chosen.shape}"
            )
        return part_of(self, np.flatnonzero(chosen))

    def split(self, parts: Any, stratify: Any = None, groups: Any = None, seed: int = 0) -> Any:
        """Named parts of this source, which share no sample.

        Parameters
        ----------
        parts : dict or scikit-learn splitter
            The share of each part, a float, or its number of samples. Shares that sum to less than 1 leave samples out.
            A splitter, such as ``StratifiedGroupKFold(5)``, gives a pair of parts, "train" and "test", for each of its
            splits.
        stratify : array-like, optional
            The class of each sample: each part gets its share of each class.
        groups : array-like, optional
            The group of each sample, such as the patient: all samples of a group are in one part.
        seed : int, default 0
            Decides which samples go into which part. The same seed gives the same parts.

        Returns
        -------
        dict of data sources
            For a splitter, a list of such dicts.

        Raises
        ------
        ValueError
            If shares sum to more than 1, if a part would be empty, or if there is not one class or group per sample.

        Examples
        --------
        >>> from batchup import ArrayDataSource
        >>> ds = ArrayDataSource([np.arange(10)])
        >>> parts = ds.split({"train": 0.8, "val": 0.2}, seed=0)
        >>> {name: part.num_samples() for name, part in parts.items()}
        {'train': 8, 'val': 2}
        """
        n = size_of(self)
        for name, of in {"stratify": stratify, "groups": groups}.items():
            if of is not None and len(of) != n:
                raise ValueError(f"{name} should have one entry per sample: {len(of)} entries, {n} samples")
        if hasattr(parts, "split"):
            found = parts.split(np.zeros((n, 1)), stratify, groups)
            return [{"train": part_of(self, train), "test": part_of(self, test)} for train, test in found]
        sizes = _sizes_of(parts, n)
        codes = None if stratify is None else sampling.classes_of(stratify, "stratify").codes
        rng = rng_at(whole("seed", seed, least=0))
        if groups is not None:
            chosen = _by_group(sizes, sampling.classes_of(groups, "groups").members(), codes, rng)
        elif codes is not None:
            chosen = _by_class(sizes, codes, rng)
        else:
            chosen = _cut(rng.permutation(n), list(sizes.values()))
        for name, indices in zip(sizes, chosen, strict=True):
            if not len(indices):
                raise ValueError(f"each part should have a sample, but part {name!r} of {sizes[name]:.6g} has none")
        return {name: part_of(self, np.sort(each)) for name, each in zip(sizes, chosen, strict=True)}


def size_of(source: Any) -> int:
    """How many samples a source has to choose from, once each."""
    if not getattr(source, "is_random_access", False):
        raise TypeError(f"parts can be made of sources that fetch by index, not of {kind_of(source)}")
    if hasattr(source, "sampler"):
        sampler = source.sampler
        if type(sampler) not in (sampling.StandardSampler, sampling.SubsetSampler):
            raise TypeError(
                f"parts can be made of a source without a sampler of its own, but here is {a_or_an(type(sampler))}; "
                "make the part first, and give a sampler over its indices"
            )
        return int(sampler.length)
    if hasattr(source, "source"):
        return size_of(source.source)
    if hasattr(source, "trim") and getattr(source, "batch_sizes", None) is None:
        return min(map(size_of, source.datasets))
    raise TypeError(f"parts can be made of arrays, maps and composites of them, not of {kind_of(source)}")


def part_of(source: Source, positions: Indices) -> Source:
    """The same source over the samples at these positions."""
    part: Any = copy.copy(source)  # its attributes cannot be set any more, so `vars` has to do
    if hasattr(source, "sampler"):
        vars(part)["sampler"] = sampling.SubsetSampler(part.sampler.map_indices(positions))
    elif hasattr(source, "source"):
        vars(part)["source"] = part_of(part.source, positions)
    else:
        vars(part)["datasets"] = tuple(part_of(each, positions) for each in part.datasets)
    made: Source = part
    return made


def _sizes_of(parts: Any, n: int) -> dict[str, float]:
    """How many samples each part should have, in the right proportion: a fraction of a sample may be left."""
    if not isinstance(parts, Mapping) or not parts:
        raise TypeError(
            'parts should be a dict such as {"train": 0.8, "val": 0.2}, or a splitter of scikit-learn, not '
            f"{kind_of(parts)}"
        )
    for name, size in parts.items():
        if isinstance(size, bool) or not isinstance(size, (*INTEGERS, float, np.floating)) or not size > 0:
            raise ValueError(f"parts should be shares or numbers of samples above 0, but part {name!r} is {size!r}")
    shares = {name: size for name, size in parts.items() if not isinstance(size, INTEGERS)}
    if sum(shares.values()) > 1 + 1e-9:
        raise ValueError(f"the shares of the parts should sum to at most 1, not to {sum(shares.values()):.6g}")
    sizes = {name: float(size * n if name in shares else size) for name, size in parts.items()}
    if sum(sizes.values()) > n + 1e-6:
        raise ValueError(f"the parts should have at most the {n} samples that there are, not {sum(sizes.values()):.6g}")
    return sizes


def _cut(order: Indices, sizes: list[float]) -> list[Indices]:
    """Consecutive pieces of an order; their ends are rounded, so that they sum to what they should."""
    ends = np.floor(np.cumsum(sizes) + 0.5 - 1e-9).astype(int).tolist()
    return [order[first:last] for first, last in zip([0, *ends], ends, strict=False)]


def _by_class(sizes: dict[str, float], codes: Any, rng: np.random.Generator) -> list[Indices]:
    """Each part with its share of each class."""
    n, shares = len(codes), np.array(list(sizes.values()))
    order = rng.permutation(n)
    order = order[np.argsort(codes[order], kind="stable")]
    pieces: list[list[Indices]] = [[] for _ in shares]
    left = np.zeros(len(shares))  # what rounding left over in the classes before
    for some in np.split(order, np.bincount(codes).cumsum()[:-1]):
        wanted = shares / n * len(some) + left
        counts = _whole_numbers(wanted, min(round(float(wanted.sum())), len(some)))
        left = wanted - counts
        for piece, each in zip(pieces, np.split(some, counts.cumsum()), strict=False):
            piece.append(each)
    return [np.concatenate(each) for each in pieces]


def _whole_numbers(wanted: Any, total: int) -> Any:
    """Whole numbers near to `wanted` that sum to `total`."""
    counts = np.maximum(np.floor(wanted + 1e-9), 0).astype(int)
    while counts.sum() < total:
        counts[np.argmax(wanted - counts)] += 1
    while counts.sum() > total:
        counts[np.argmax(np.where(counts > 0, counts - wanted, -np.inf))] -= 1
    return counts


def _by_group(sizes: dict[str, float], groups: list[Indices], codes: Any, rng: np.random.Generator) -> list[Indices]:
    """Whole groups, the largest first, each in the part that lacks most of what it has."""
    n = sum(map(len, groups))
    codes = np.zeros(n, np.intp) if codes is None else codes
    wanted = np.array(list(sizes.values()))
    rest = n - float(wanted.sum())  # a last part, of what is left out
    wanted = np.append(wanted, rest) if rest > 0.5 else wanted
    missing = np.outer(wanted / n, np.bincount(codes)).astype(float)
    scale = wanted[:, None]
    pieces: list[list[Indices]] = [[] for _ in wanted]
    order = sorted(rng.permutation(len(groups)).tolist(), key=lambda i: -len(groups[i]))
    for i in order:
        has = np.bincount(codes[groups[i]], minlength=missing.shape[1])
        part = int(np.argmax((missing / scale) @ has))
        missing[part] -= has
        pieces[part].append(groups[i])
    return [np.concatenate(each) if each else np.empty(0, np.intp) for each in pieces[: len(sizes)]]
