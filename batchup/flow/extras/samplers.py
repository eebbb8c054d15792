"""Samplers of values: points from distributions, and from mixtures and functions of distributions.

``a + b`` adds the points of both, ``a & b`` puts their coordinates side by side, ``.7 & a | .3 & b`` mixes a and b.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from ...engine.checks import whole
from ...engine.initialised import Initialised
from ...engine.optional import library

__all__ = ["ConstantSampler", "HistoSampler", "NumpySampler", "Points", "Sampler", "ScipySampler"]

Points = npt.NDArray[Any]
SeedLike: TypeAlias = int | np.random.SeedSequence | np.random.Generator | None


def _operator_methods(
    fn: Callable[[Any, Any], Any],
) -> tuple[Callable[[Any, Any], Sampler], Callable[[Any, Any], Sampler]]:
    """The methods of a binary operator, with the sampler on the left and on the right."""
    return (
        lambda self, other: FunctionSampler(fn, [self, _sampler(other)]),
        lambda self, other: FunctionSampler(fn, [_sampler(other), self]),
    )


class Sampler(Initialised):
    """Draws points. To write your own sampler, define `draw`.

    Parameters
    ----------
    seed : int, SeedSequence or Generator, optional
        Samplers with the same seed draw the same points.
    """

    weight = 1.0
    __array_ufunc__ = None  # NumPy leaves ``array + sampler`` to the sampler, not to each item of the array

    def __init__(self, seed: SeedLike = None) -> None:
        self.rng = np.random.default_rng(seed)

    def draw(self, size: int, rng: np.random.Generator) -> Points:
        """Draw `size` points with `rng`: an array of shape (size, dim), or (size,) for one coordinate."""
        raise NotImplementedError(f"{type(self).__name__} should have a method draw(size, rng)")

    def sample(self, size: int) -> Points:
        """Draw points.

        Parameters
        ----------
        size : int
            Number of points.

        Returns
        -------
        ndarray of shape (size, dim)

        Examples
        --------
        >>> from batchup.flow import NumpySampler
        >>> NumpySampler("normal", seed=0, loc=10, dim=2).sample(3).shape
        (3, 2)
        """
        return self._points(whole("size", size, least=0))

    def _points(self, size: int) -> Points:
        points = np.asarray(self.draw(size, self.rng))
        return points[:, np.newaxis] if points.ndim == 1 else points

    __add__, __radd__ = _operator_methods(operator.add)
    __sub__, __rsub__ = _operator_methods(operator.sub)
    __mul__, __rmul__ = _operator_methods(operator.mul)
    __truediv__, __rtruediv__ = _operator_methods(operator.truediv)
    __floordiv__, __rfloordiv__ = _operator_methods(operator.floordiv)
    __mod__, __rmod__ = _operator_methods(operator.mod)
    __pow__, __rpow__ = _operator_methods(operator.pow)

    def __and__(self, other: Sampler | npt.ArrayLike) -> Sampler:
        return self._weighted(other) if np.isscalar(other) else FunctionSampler(_side_by_side, [self, _sampler(other)])

    def __rand__(self, other: Sampler | npt.ArrayLike) -> Sampler:
        return self._weighted(other) if np.isscalar(other) else FunctionSampler(_side_by_side, [_sampler(other), self])

    def __or__(self, other: Sampler | npt.ArrayLike) -> Sampler:
        return MixedSampler([*_mixture_parts(self), *_mixture_parts(_sampler(other))])

    def __ror__(self, other: Sampler | npt.ArrayLike) -> Sampler:
        return _sampler(other) | self

    def _weighted(self, weight: Any) -> Self:
        if not weight >= 0:
            raise ValueError(f"a weight should be 0 or more, not {weight!r}")
        weighted = copy.copy(self)  # with the same generator
        weighted.weight = float(weight)
        return weighted

    def apply(self, transform: Callable[[Points], Any]) -> Sampler:
        """Transform the points, an array of shape (size, dim), with a function."""
        return FunctionSampler(transform, [self])

    def truncate(
        self,
        high: npt.ArrayLike | None = None,
        low: npt.ArrayLike | None = None,
        expr: Callable[[Points], Any] | None = None,
        prob: float = 0.5,
        max_iters: int | None = None,
        sample_anyways: bool = False,
    ) -> Sampler:
        """Keep only points between `low` and `high`.

        Parameters
        ----------
        high, low : float or array of shape (dim,), optional
        expr : callable, optional
            The bounds are for its values instead of the coordinates.
        prob : float, default 0.5
            The estimated share of points within the bounds. A smaller share draws more points at a time.
        max_iters : int, optional
            Number of draws before an error; by default 1000.
        sample_anyways : bool, default False
            Fill up with points outside of the bounds, instead of an error.

        Raises
        ------
        ValueError
            While drawing, if too few points are within the bounds.
        """
        return TruncatedSampler(self, high, low, expr, prob, max_iters, sample_anyways)


def _sampler(obj: Sampler | npt.ArrayLike) -> Sampler:
    return obj if isinstance(obj, Sampler) else ConstantSampler(obj)


def _mixture_parts(sampler: Sampler) -> list[Sampler]:
    """The parts of a mixture. A mixture with a weight of its own is a single part."""
    if not isinstance(sampler, MixedSampler) or sampler.weight != 1.0:
        return [sampler]
    return sampler.samplers


class FunctionSampler(Sampler):
    """A function of the points of several samplers."""

    def __init__(self, fn: Callable[..., Any], samplers: list[Sampler]) -> None:
        self.fn = fn
        self.samplers = samplers

    def _points(self, size: int) -> Points:
        points = np.asarray(self.fn(*[sampler.sample(size) for sampler in self.samplers]))
        return points[:, np.newaxis] if points.ndim == 1 else points


def _side_by_side(*points: Points) -> Points:
    return np.concatenate(points, axis=1)


class MixedSampler(Sampler):
    """Points of several samplers in random order, each drawn according to its weight."""

    def __init__(self, samplers: list[Sampler]) -> None:
        self.samplers = samplers
        weights = np.array([sampler.weight for sampler in samplers])
        if not weights.sum() > 0:
            raise ValueError("the weights of a mixture should sum to more than 0, but all are 0")
        self.weights = weights / weights.sum()
        self.rng = _rng_of(self)

    def _points(self, size: int) -> Points:
        which = self.rng.choice(len(self.samplers), size=size, p=self.weights)
        drawn = [
            sampler.sample(int(n))
            for sampler, n in zip(self.samplers, np.bincount(which, minlength=len(self.samplers)), strict=True)
        ]
        points = np.empty((size, drawn[0].shape[1]), np.result_type(*drawn))
        for number, some in enumerate(drawn):
            points[which == number] = some
        return points


def _rng_of(sampler: Sampler) -> np.random.Generator:
    """A generator for a mixture, seeded by the generators of its parts, so that their seeds are enough."""
    states = [str(part.rng.bit_generator.state) for part in _leaves(sampler)]
    return np.random.default_rng(np.frombuffer("".join(states).encode(), dtype=np.uint8).tolist())


def _leaves(sampler: Sampler) -> list[Sampler]:
    inner = getattr(sampler, "samplers", None) or ([sampler.sampler] if isinstance(sampler, TruncatedSampler) else None)
    return [sampler] if inner is None else [leaf for part in inner for leaf in _leaves(part)]


class TruncatedSampler(Sampler):
    """The points of a sampler that are within bounds."""

    def __init__(
        self,
        sampler: Sampler,
        high: npt.ArrayLike | None,
        low: npt.ArrayLike | None,
        expr: Callable[[Points], Any] | None,
        prob: float,
        max_iters: int | None,
        sample_anyways: bool,
    ) -> None:
        if not 0 < prob <= 1:
            raise ValueError(f"prob should be more than 0 and at most 1, not {prob!r}")
        self.sampler = sampler
        self.high, self.low, self.expr = high, low, expr
        self.prob = prob
        self.max_iters = 1000 if max_iters is None else whole("max_iters", max_iters)
        self.sample_anyways = sample_anyways

    def _points(self, size: int) -> Points:
        kept: list[Points] = []
        missing = size
        for _ in range(self.max_iters):
            points = self.sampler.sample(max(1, int(missing / self.prob)))
            kept.append(points[self._within(points)][:missing])
            missing -= len(kept[-1])
            if not missing:
                return np.concatenate(kept)
        if self.sample_anyways:
            return np.concatenate([*kept, self.sampler.sample(missing)])
        raise ValueError(
            f"{missing} of {size} points are missing within the bounds after {self.max_iters} draws: widen the bounds, "
            "or pass max_iters= or sample_anyways=True"
        )

    def _within(self, points: Points) -> Any:
        values = points if self.expr is None else np.asarray(self.expr(points)).reshape(len(points), -1)
        inside = np.ones(values.shape, dtype=bool)
        if self.high is not None:
            inside &= values <= self.high
        if self.low is not None:
            inside &= values >= self.low
        return inside.all(axis=1)


class ConstantSampler(Sampler):
    """Always the same point.

    >>> ConstantSampler([1, 2]).sample(2)
    array([[1, 2],
           [1, 2]])
    """

    def __init__(self, constant: npt.ArrayLike) -> None:
        super().__init__(0)
        self.constant = np.atleast_1d(np.asarray(constant))

    def draw(self, size: int, rng: np.random.Generator) -> Points:
        return np.repeat(self.constant[np.newaxis], size, axis=0)


ALIASES = {"n": "normal", "u": "uniform", "mvn": "multivariate_normal", "e": "exponential", "g": "gamma", "be": "beta"}
ALIASES.update({"mnm": "multinomial", "f": "f", "p": "poisson", "w": "wald", "ln": "lognormal", "b": "binomial"})
SCIPY = {"n": "norm", "u": "uniform", "mvn": "multivariate_normal", "e": "expon", "g": "gamma", "be": "beta"}
SCIPY.update({"p": "poisson", "ln": "lognorm", "b": "binom", "c": "cauchy"})


class NumpySampler(Sampler):
    """A distribution of `numpy.random.Generator`.

    Parameters
    ----------
    name : str
        A method, such as ``'normal'``, or an alias: ``'n'`` for normal, ``'u'`` for uniform, ``'e'`` for exponential.
    seed : int, SeedSequence or Generator, optional
    dim : int, default 1
        Number of independent coordinates.
    **kwargs
        Parameters of the distribution.

    Examples
    --------
    >>> sampler = NumpySampler("u", seed=1, low=5, high=6, dim=2)
    >>> bool(((5 <= sampler.sample(4)) & (sampler.sample(4) < 6)).all())
    True
    """

    def __init__(self, name: str, seed: SeedLike = None, dim: int = 1, **kwargs: object) -> None:
        super().__init__(seed)
        self.name = ALIASES.get(name, name)
        if self.name.startswith("_") or not callable(getattr(np.random.Generator, self.name, None)):
            raise ValueError(f"{name!r} should be a distribution of numpy.random.Generator, such as 'normal'")
        if self.name == "uniform" and "low" not in kwargs and "high" not in kwargs:
            kwargs = {"low": 0.0, "high": 1.0, **kwargs}
        self.dim = whole("dim", dim)
        self.kwargs = kwargs

    def draw(self, size: int, rng: np.random.Generator) -> Points:
        shape = size if self.dim == 1 else (size, self.dim)
        return np.asarray(getattr(rng, self.name)(size=shape, **self.kwargs))


class ScipySampler(Sampler):
    """A distribution of `scipy.stats`.

    Parameters
    ----------
    name : str
        A distribution, such as ``'norm'``, or an alias, as for `NumpySampler`.
    seed : int, SeedSequence or Generator, optional
    dim : int, default 1
    **kwargs
        Parameters of the distribution.
    """

    def __init__(self, name: str, seed: SeedLike = None, dim: int = 1, **kwargs: object) -> None:
        super().__init__(seed)
        found: Any = getattr(library("scipy.stats", "scipy", "a ScipySampler"), SCIPY.get(name, name), None)
        if not hasattr(found, "rvs"):
            raise ValueError(f"{name!r} should be a distribution of scipy.stats, such as 'norm'")
        self.dim = whole("dim", dim)
        self.distribution = found(**kwargs)

    def draw(self, size: int, rng: np.random.Generator) -> Points:
        shape = size if self.dim == 1 else (size, self.dim)
        points = np.asarray(self.distribution.rvs(size=shape, random_state=rng))
        return points.reshape(size, -1) if points.ndim != 1 or size == 1 else points


class HistoSampler(Sampler):
    """Points distributed as in a histogram: a bin is drawn by its count, a point evenly within the bin.

    Parameters
    ----------
    histo : tuple of (ndarray, list of ndarray), optional
        The result of `numpy.histogramdd`.
    edges : list of arrays, optional
        The edges of the bins along each coordinate, to start from an empty histogram.
    seed : int, SeedSequence or Generator, optional

    Examples
    --------
    >>> sampler = HistoSampler(edges=[[0, 1, 2]], seed=0)
    >>> sampler.update([[1.5]])
    >>> bool((sampler.sample(5) >= 1).all())
    True
    """

    def __init__(
        self,
        histo: tuple[Any, Any] | None = None,
        edges: Sequence[npt.ArrayLike] | npt.NDArray[Any] | None = None,
        seed: SeedLike = None,
    ) -> None:
        super().__init__(seed)
        if (histo is None) == (edges is None):
            raise ValueError("exactly one of histo and edges should be given")
        given: Any
        bins, given = (None, edges) if histo is None else histo
        given = [given] if isinstance(given, np.ndarray) and given.ndim == 1 else given
        self.edges = [np.asarray(each, dtype=float) for each in given]
        shape = tuple(len(each) - 1 for each in self.edges)
        self.bins = np.zeros(shape) if bins is None else np.array(bins, dtype=float)
        if self.bins.shape != shape:
            raise ValueError(f"the histogram should have shape {shape}, that of its edges, not {self.bins.shape}")

    def update(self, points: npt.ArrayLike) -> None:
        """Add points, an array of shape (n, dim), to the histogram."""
        self.bins += np.histogramdd(np.asarray(points, dtype=float), self.edges)[0]

    def draw(self, size: int, rng: np.random.Generator) -> Points:
        total = self.bins.sum()
        if not total > 0:
            raise ValueError("the histogram should have points to draw from, not none: call update() first")
        chosen = rng.choice(self.bins.size, size=size, p=(self.bins / total).ravel())
        bins = np.unravel_index(chosen, self.bins.shape)
        low = [each[bin_] for each, bin_ in zip(self.edges, bins, strict=True)]
        high = [each[bin_ + 1] for each, bin_ in zip(self.edges, bins, strict=True)]
        points: Points = np.stack(low, 1) + rng.random((size, len(low))) * (np.stack(high, 1) - np.stack(low, 1))
        return points
