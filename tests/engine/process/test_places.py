"""Errors and warnings about what is sent to workers name what the user made, not what we wrap it in."""

from __future__ import annotations

import functools
import os
import random
import threading
import warnings

import numpy as np
import pytest

from batchup import ArrayDataSource, CompositeDataSource, Loader, WorkerProcessPool
from batchup.engine.process import constants, pickling
from batchup.errors import DataSourcePicklingError
from batchup.work_pool import SeededFetch

pytestmark = [pytest.mark.timeout(60), pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX")]


class Recordings:
    """An accessor that holds something."""

    def __init__(self, **held):
        self.__dict__.update(held)

    def __len__(self):
        return 10

    def __getitem__(self, indices):
        return np.asarray(indices)

    def __call__(self, *batch):
        return batch

    def transform(self, *batch):
        return batch


class Slotted:
    __slots__ = ("lock",)

    def __init__(self, lock):
        self.lock = lock


def closure_over(lock):
    def transform(x):
        return (x, lock)

    return transform


def with_argument(x, lock=None):
    return (x, lock)


X = np.arange(10)
CASES = {
    "data[1].it (data[1] is a Recordings)": lambda it: ArrayDataSource([X, Recordings(it=it)]),
    "data['b'].a[0]['c'] (data['b'] is a Recordings)": lambda it: ArrayDataSource({"b": Recordings(a=[{"c": it}])}),
    "Recordings.it": lambda it: ArrayDataSource([X]).map(Recordings(it=it)),
    "Recordings.its": lambda it: ArrayDataSource([X]).map(Recordings(its=it).transform),
    "lock (lock is a variable of the function transform)": lambda it: ArrayDataSource([X]).map(closure_over(it)),
    "partial.keywords['lock']": lambda it: ArrayDataSource([X]).map(functools.partial(with_argument, lock=it)),
    "datasets[0].data[0].a (datasets[0].data[0] is a Recordings)": lambda it: CompositeDataSource(
        [ArrayDataSource([Recordings(a=it)]).map(np.negative), ArrayDataSource([X])]
    ),
    "Recordings.slotted.lock": lambda it: ArrayDataSource([X]).random_map(Recordings(slotted=Slotted(it))),
}


@pytest.mark.parametrize("place", CASES)
def test_what_cannot_be_sent_is_named_as_the_user_knows_it(place):
    """From the data or the function that holds it, with its class; through our own objects without their names."""
    source = CASES[place](threading.Lock())
    for whole in source.samples_by_indices_nomapping, SeededFetch(source.samples_by_indices_nomapping):
        with pytest.raises(DataSourcePicklingError) as raised:
            pickling.dumps(whole)

        assert str(raised.value).startswith(f"{place} cannot be sent to a worker process")


def test_an_open_text_file_is_named(tmp_path):
    """Other picklers would send a copy of it."""
    with open(tmp_path / "notes", "w+") as file, WorkerProcessPool(1) as pool:
        source = ArrayDataSource([Recordings(file=file)])
        with pytest.raises(DataSourcePicklingError, match=r"data\[0\]\.file \(data\[0\] is a Recordings\) cannot"):
            iter(Loader(source, 2, pool=pool))


@pytest.fixture(autouse=True)
def nothing_was_said():
    constants._warned.clear()


@pytest.mark.parametrize(
    "generator",
    [np.random.default_rng(0), np.random.RandomState(0), random.Random(0)],
    ids=lambda each: type(each).__name__,
)
@pytest.mark.parametrize("place", CASES)
def test_a_generator_that_would_repeat_is_warned_of(place, generator):
    """Once, with its place, and what to use instead."""
    source = CASES[place](generator)
    with pytest.warns(RuntimeWarning, match="random_map") as warned:
        made = [constants.Constant(source.samples_by_indices_nomapping) for _ in range(2)]
    for constant in made:
        constant.close()

    assert [True] == [str(each.message).startswith(f"{place} is a random generator") for each in warned]
    assert type(generator).__name__ in str(warned[0].message)
    assert warned[0].filename == __file__


def test_generators_of_pytorch_and_functions_of_global_ones_are_warned_of():
    """A function of a global generator takes it along."""
    torch = pytest.importorskip("torch")
    for held in torch.Generator(), np.random.normal, random.random:
        with pytest.warns(RuntimeWarning, match="random generator"):
            constants.Constant(ArrayDataSource([X]).map(Recordings(held=held)).samples_by_indices_nomapping).close()


def test_nothing_is_said_of_generators_that_no_worker_uses():
    """Those that a module has, and those of samplers."""

    class Sampler:
        rng = None

        def __init__(self):
            self.rng = np.random.default_rng(0)

    source = ArrayDataSource([X]).map(lambda x: (x + np.random.normal(size=len(x)),))
    other = ArrayDataSource([X])
    vars(other)["sampler"] = Sampler()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        constants.Constant(source.samples_by_indices_nomapping).close()
        constants.Constant(other.samples_by_indices_nomapping).close()
