"""For scikit-learn (``pip install scikit-learn``): estimators that learn batch by batch."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import numpy as np

from ..engine.checks import a_or_an, kind_of, whole
from ..errors import noted
from .prefetch import Prefetched

__all__ = ["partial_fit"]

Estimator = TypeVar("Estimator")


def partial_fit(
    estimator: Estimator,
    loader: Any,
    epochs: int = 1,
    classes: Any = None,
    progress: Callable[..., Iterable[Any]] | None = None,
) -> Estimator:
    """Train an estimator on the batches of a loader, with its ``partial_fit``.

    Parameters
    ----------
    estimator : estimator
        An estimator of scikit-learn, or an object with the same methods.
    loader : Loader
        With batches ``(X,)``, ``(X, y)`` or ``(X, y, sample_weight)``.
    epochs : int, default 1
        The number of loops over the loader. After `load_state_dict`, the first loop is the rest of the epoch.
    classes : array-like, optional
        The labels of all classes. Classifiers need them, as the first batch may lack some.
    progress : callable, optional
        A function in the style of ``tqdm.tqdm``, called as ``progress(batches, total=…, leave=False)``.

    Returns
    -------
    estimator

    Raises
    ------
    TypeError
        If the estimator has no ``partial_fit``, or if it needs `classes` or does not accept them.
    ValueError
        If the loader pads its batches, so that some samples would be learned more than once.

    Examples
    --------
    >>> import numpy as np
    >>> from batchup import Loader
    >>> from sklearn.linear_model import SGDClassifier
    >>> X = np.linspace(-1, 1, 200)[:, None]
    >>> y = X[:, 0] > 0
    >>> loader = Loader([X, y], 32, shuffle=7)
    >>> model = partial_fit(SGDClassifier(random_state=0), loader, epochs=5, classes=[False, True])
    >>> bool(model.score(X, y) > 0.95)
    True
    """
    learn = _partial_fit_of(estimator)
    keywords = _classes_for(estimator, learn, classes)
    _should_not_pad(loader)
    batches: Iterable[Any] = _batches(loader, whole("epochs", epochs, least=0))
    if progress is not None:
        batches = progress(batches, total=_total(loader, epochs), leave=False)
    for batch in batches:
        args, weights = _arguments(batch)
        try:
            learn(*args, **weights, **keywords)
        except Exception as error:
            noted(error, f"while learning from batch {loader.step - 1} of epoch {loader.epoch}")
            raise
    return estimator


def _partial_fit_of(estimator: Any) -> Callable[..., Any]:
    learn: Callable[..., Any] | None = getattr(estimator, "partial_fit", None)
    if learn is None:
        raise TypeError(
            f"{type(estimator).__name__} has no partial_fit, so it cannot learn batch by batch; take one that has, "
            "such as SGDClassifier, MiniBatchKMeans or IncrementalPCA, and do what comes before it in source.map(fn)"
        )
    return learn


def _classes_for(estimator: Any, learn: Callable[..., Any], classes: Any) -> dict[str, Any]:
    name = type(estimator).__name__
    takes = "classes" in inspect.signature(learn).parameters
    if classes is None:
        if takes and not hasattr(estimator, "classes_"):
            raise TypeError(
                f"{name} needs classes, the labels of all classes, as the first batch may lack some: "
                "classes=np.unique(y)"
            )
        return {}
    if not takes:
        raise TypeError(f"classes should be left out: {name}.partial_fit() takes none")
    return {"classes": classes}


def _batches(loader: Any, epochs: int) -> Iterator[Any]:
    return itertools.chain.from_iterable(itertools.repeat(loader, epochs))


def _should_not_pad(loader: Any) -> None:
    plan = _plan_of(loader)
    if plan is not None and plan.last == "pad":
        raise ValueError(
            'the loader should be without last="pad", which repeats samples and adds the field valid to its batches; '
            "partial_fit takes batches of any size"
        )


def _plan_of(loader: Any) -> Any:
    """The plan of a loader, or of the one within it; None if it has none."""
    while not hasattr(loader, "_plan") and hasattr(loader, "loader"):
        loader = loader.loader
    return getattr(loader, "_plan", None)


def _total(loader: Any, epochs: int) -> int | None:
    """The number of batches in all loops, if it is known."""
    plan = _plan_of(loader)
    if plan is None:
        return None
    epoch, step = _upcoming(loader) if epochs else (0, 0)
    lengths = [plan.length(each) for each in range(epoch, epoch + epochs)]
    return None if any(n is None or n == np.inf for n in lengths) else sum(map(int, lengths)) - step


def _upcoming(loader: Any) -> tuple[int, int]:
    """Where the next loop begins."""
    while hasattr(loader, "loader"):
        loader = loader._at_rest() if isinstance(loader, Prefetched) else loader.loader
    place: tuple[int, int] = loader._run.upcoming()
    return place


def _arguments(batch: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if not isinstance(batch, (tuple, list)) or not 1 <= len(batch) <= 3:
        what = f"{a_or_an(type(batch))} of {len(batch)}" if isinstance(batch, (tuple, list)) else kind_of(batch)
        raise TypeError(
            f"a batch should be (X,), (X, y) or (X, y, sample_weight), not {what}; source.map(fn) makes it one"
        )
    args, weight = tuple(batch[:2]), batch[2:]
    return args, {"sample_weight": weight[0]} if weight else {}
