"""Samplers of distributions: of NumPy, of SciPy, and of a histogram."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...engine.checks import whole
from .samplers import Points, Sampler

__all__ = ["HistoSampler", "NumpySampler", "ScipySampler"]

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

    def __init__(self, name: str, seed: Any = None, dim: int = 1, **kwargs: Any) -> None:
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

    def __init__(self, name: str, seed: Any = None, dim: int = 1, **kwargs: Any) -> None:
        super().__init__(seed)
        try:
            from scipy import stats
        except ImportError as error:
            raise ImportError("a ScipySampler needs scipy: pip install scipy") from error
        found: Any = getattr(stats, SCIPY.get(name, name), None)
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

    def __init__(self, histo: Any = None, edges: Any = None, seed: Any = None) -> None:
        super().__init__(seed)
        if (histo is None) == (edges is None):
            raise ValueError("exactly one of histo and edges should be given")
        bins, given = histo if histo is not None else (None, edges)
        given = [given] if isinstance(given, np.ndarray) and given.ndim == 1 else given
        self.edges = [np.asarray(each, dtype=float) for each in given]
        shape = tuple(len(each) - 1 for each in self.edges)
        self.bins = np.zeros(shape) if bins is None else np.array(bins, dtype=float)
        if self.bins.shape != shape:
            raise ValueError(f"the histogram should have shape {shape}, that of its edges, not {self.bins.shape}")

    def update(self, points: Any) -> None:
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
