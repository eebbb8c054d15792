"""Estimators that learn batch by batch."""

import importlib.util
import io

import numpy as np
import pytest

from batchup import ArrayDataSource, IteratorDataSource, Loader
from batchup.interop.sklearn import partial_fit

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.skipif(importlib.util.find_spec("sklearn") is None, reason="needs scikit-learn"),
]


def late(module, name):
    """A class of scikit-learn's, which takes seconds to import: at the first call, not when tests are collected."""
    return lambda *args, **kwargs: getattr(importlib.import_module(module), name)(*args, **kwargs)


MiniBatchKMeans = late("sklearn.cluster", "MiniBatchKMeans")
IncrementalPCA = late("sklearn.decomposition", "IncrementalPCA")
RandomForestClassifier = late("sklearn.ensemble", "RandomForestClassifier")
SGDClassifier, SGDRegressor = (late("sklearn.linear_model", name) for name in ("SGDClassifier", "SGDRegressor"))

X = np.random.RandomState(1).normal(size=(50, 3))
y = np.arange(50) % 3
weights = np.linspace(0, 1, 50)


def loader(*arrays, **kwargs):
    return Loader(list(arrays), 8, shuffle=7, **kwargs)


@pytest.mark.parametrize("pool", [None, 2])
def test_a_classifier(pool):
    """It learns as from a loop that calls its partial_fit."""
    by_hand = SGDClassifier(random_state=0)
    for batch in loader(X, y).steps(14):
        by_hand.partial_fit(*batch, classes=[0, 1, 2])
    with loader(X, y, pool=pool) as batches:
        learned = partial_fit(SGDClassifier(random_state=0), batches, epochs=2, classes=[0, 1, 2])

    assert np.array_equal(by_hand.coef_, learned.coef_)


def test_weights_of_samples():
    """A third array is the weight of the samples."""
    by_hand = SGDRegressor(random_state=0)
    for inputs, targets, each in loader(X, y, weights):
        by_hand.partial_fit(inputs, targets, sample_weight=each)

    assert np.array_equal(by_hand.coef_, partial_fit(SGDRegressor(random_state=0), loader(X, y, weights)).coef_)


def test_what_needs_no_labels():
    """Clusters and components are learned from X alone."""
    assert (4, 3) == partial_fit(MiniBatchKMeans(4, random_state=0), loader(X)).cluster_centers_.shape
    assert (2, 3) == partial_fit(IncrementalPCA(2), loader(X, last="drop")).components_.shape


def test_it_goes_on():
    """An estimator that was fitted knows its classes; a loader whose state was loaded gives the rest of its epoch."""
    whole = partial_fit(SGDClassifier(random_state=0), loader(X, y), epochs=2, classes=[0, 1, 2])
    parts, first, second = SGDClassifier(random_state=0), loader(X, y), loader(X, y)
    for _, batch in zip(range(3), first, strict=False):
        parts.partial_fit(*batch, classes=[0, 1, 2])
    second.load_state_dict({**first.state_dict(), "step": 3})
    partial_fit(parts, second, epochs=2)

    assert np.array_equal(whole.coef_, parts.coef_)


def test_progress():
    """The bar counts the batches of all epochs, less those that came before the state."""
    tqdm = pytest.importorskip("tqdm").tqdm
    bars = []

    def bar(batches, **kwargs):
        bars.append(tqdm(batches, file=io.StringIO(), **kwargs))
        return bars[-1]

    resumed = loader(X, y)
    resumed.load_state_dict({**resumed.state_dict(), "step": 3})
    endless = Loader(IteratorDataSource(iter([(X, y)])), 8)
    for each in (loader(X, y), resumed, endless):
        partial_fit(SGDRegressor(), each, epochs=1 if each is endless else 2, progress=bar)

    assert [(14, 14), (11, 11), (None, 1)] == [(each.total, each.n) for each in bars]


@pytest.mark.parametrize("prefetched", [False, True])
def test_the_total_of_a_bar(prefetched):
    """It is that of the epochs to come, whose batch sizes may differ, with prefetch, too; there may be none."""
    totals, counts = [], []

    def bar(batches, total, leave):
        totals.append(total)
        counts.append(0)
        for batch in batches:
            counts[-1] += 1
            yield batch

    sizes = Loader([X, y], lambda epoch: [10, 5, 25][epoch % 3])
    resumed = Loader([X, y], lambda epoch: [10, 5, 25][epoch % 3])
    resumed.load_state_dict({**resumed.state_dict(), "step": 3})
    for each in (sizes, resumed):
        each = each.prefetch_to(lambda batch: batch, depth=9) if prefetched else each
        partial_fit(SGDRegressor(), each, epochs=2, progress=bar)
        next(each.steps(7))
        partial_fit(SGDRegressor(), each, epochs=3, progress=bar)
    partial_fit(SGDRegressor(), [(X, y)], progress=bar)

    assert [15, 17, 12, 17, None] == totals
    assert [15, 17, 12, 17, 1] == counts


@pytest.mark.parametrize("prefetched", [False, True])
def test_a_loader_that_pads(prefetched):
    """Its mask would be taken for labels."""
    padded = loader(X, last="pad")
    with pytest.raises(ValueError, match='the loader should be without last="pad"'):
        partial_fit(MiniBatchKMeans(4), padded.prefetch_to(lambda batch: batch) if prefetched else padded)


def test_classes_that_are_missing():
    """The error says what classes are, before a batch is made."""
    with pytest.raises(TypeError, match=r"SGDClassifier needs classes.* classes=np\.unique\(y\)"):
        partial_fit(SGDClassifier(), loader(X, y))


def test_classes_of_what_has_none():
    """Regressors take no classes."""
    with pytest.raises(TypeError, match=r"classes should be left out: SGDRegressor\.partial_fit"):
        partial_fit(SGDRegressor(), loader(X, y), classes=[0, 1])


def test_an_estimator_that_cannot():
    """Some learn from all samples at once alone; the error names others."""
    with pytest.raises(TypeError, match="RandomForestClassifier has no partial_fit.*SGDClassifier"):
        partial_fit(RandomForestClassifier(), loader(X, y), classes=[0, 1, 2])


@pytest.mark.parametrize(
    ("source", "what"),
    [
        (ArrayDataSource({"X": X, "y": y}), "a dict"),
        (ArrayDataSource([X, y, weights, weights]), "a tuple of 4"),
    ],
)
def test_batches_of_another_form(source, what):
    """The error says what a batch should be, and what it was."""
    with pytest.raises(TypeError, match=rf"a batch should be \(X,\), \(X, y\) or .*, not {what}"):
        partial_fit(SGDRegressor(), Loader(source, 8))


def test_an_error_of_the_estimator():
    """It says which batch it was."""
    broken = X.copy()
    broken[20] = np.nan
    with pytest.raises(ValueError, match="NaN") as caught:
        partial_fit(SGDRegressor(), Loader([broken, y], 8))

    assert ["while learning from batch 2 of epoch 0"] == caught.value.__notes__
