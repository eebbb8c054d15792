"""The names that programs for batchup 0.2 use are there, with the parameters and defaults that they use."""

import inspect

import pytest

import batchup
from batchup import batch_iter, data_source, errors, flow, loader, sampling, work_pool

# What users write. The parameters come first and in this order; batchup may take more after them, with defaults.
FIXED = {
    data_source: {
        "AbstractDataSource": "()",
        "RandomAccessDataSource": "(length, indices=None, repeats=1, sampler=None, include_indices=False)",
        "RandomAccessDataSource.batch_iterator": "(self, batch_size, shuffle=None, **)",
        "RandomAccessDataSource.batch_indices_iterator": "(self, batch_size, shuffle=None, **)",
        "ArrayDataSource": "(data, indices=None, repeats=1, sampler=None, include_indices=False)",
        "CallableDataSource": "(batch_iterator_fn, num_samples_fn=None)",
        "IteratorDataSource": "(batch_iter, n_samples=None)",
        "CompositeDataSource": "(datasets, flatten=True, trim=True)",
        "ChoiceDataSource": "(datasets, stratified=False)",
        "MapDataSource": "(source, fn)",
        "ChoiceBatch": "(sample_indices, ds_index)",
        "coerce_data_source": "(x)",
        "batch_map_concat": "(func, batch_iter, progress_iter_func=None, n_batches=None, prepend_args=None)",
        "batch_map_mean": (
            "(func, batch_iter, progress_iter_func=None, sum_axis=None, n_batches=None, prepend_args=None)"
        ),
        "AbstractDataSource.num_samples": "(self, **)",
        "AbstractDataSource.samples_by_indices": "(self, indices)",
        "AbstractDataSource.samples_by_indices_nomapping": "(self, indices)",
        "AbstractDataSource.map": "(self, fn)",
        "AbstractDataSource.batch_map_concat": (
            "(self, func, batch_size, progress_iter_func=None, n_batches=None, prepend_args=None, **)"
        ),
        "AbstractDataSource.batch_map_mean": (
            "(self, func, batch_size, progress_iter_func=None, sum_axis=None, n_batches=None, prepend_args=None, **)"
        ),
        "ChoiceDataSource._ds_iterator": "(self, batch_size, iterators, shuffle_rng, **)",
        "ChoiceDataSource._ds_indices_stratified_in_order": "(batches_per_ds)",
        "ChoiceDataSource._ds_indices_stratified_shuffled": "(batches_per_ds, shuffle_rng)",
    },
    sampling: {
        "num_batches": "(n, batch_size)",
        "AbstractSampler": "()",
        "AbstractSampler.num_indices_generated": "(self)",
        "AbstractSampler.map_indices": "(self, indices)",
        "AbstractSampler.in_order_indices_batch_iterator": "(self, batch_size)",
        "AbstractSampler.shuffled_indices_batch_iterator": "(self, batch_size, shuffle_rng)",
        "StandardSampler": "(length, repeats=1)",
        "SubsetSampler": "(indices, repeats=1)",
        "WeightedSampler": "(weights)",
        "WeightedSampler.class_balancing_sampler": "(y, n_classes=None)",
        "WeightedSampler.class_balancing_sample_weights": "(y, n_classes=None)",
        "WeightedSubsetSampler": "(sub_weights, indices)",
        "WeightedSubsetSampler.class_balancing_sampler": "(y, indices, n_classes=None)",
        "WeightedSubsetSampler.class_balancing_sample_weights": "(y, n_classes=None)",
    },
    work_pool: {
        "AbstractWorkerPool": "()",
        "WorkerThreadPool": "(processes=1)",
        "WorkerProcessPool": "(processes=1)",
        "AbstractWorkerPool.shared_constant": "(self, x)",
        "AbstractWorkerPool.work_stream": "(self, task_generator, task_buffer_size=20)",
        "AbstractWorkerPool.parallel_data_source": "(self, ds, batch_buffer_size=20)",
        "WorkStream.retrieve": "(self)",
        "WorkStream.retrieve_iter": "(self)",
        "ParallelDataSource.batch_iterator": "(self, batch_size, **)",
    },
}
CASES = [(module, name, text) for module, names in FIXED.items() for name, text in names.items()]
IDS = [f"{module.__name__}.{name}" for module, name, _ in CASES]


def find(module, name):
    found = module
    for part in name.split("."):
        found = getattr(found, part)
    return found


def written(signature):
    """A signature as FIXED has it: no annotations, and ``**`` for further keywords, whatever their name."""

    def default(each):
        return "" if each.default is each.empty else f"={each.default!r}"

    parameters = signature.parameters.values()
    return ["**" if each.kind is each.VAR_KEYWORD else each.name + default(each) for each in parameters]


@pytest.mark.parametrize(("module", "name", "text"), CASES, ids=IDS)
def test_a_fixed_name_has_its_parameters(module, name, text):
    """The parameters come first and in order, with their defaults; what comes after them has a default."""
    found = written(inspect.signature(find(module, name)))
    expected = [part for part in text.strip("()").split(", ") if part]
    named = [part for part in expected if part != "**"]

    assert named == found[: len(named)]
    assert ("**" in expected) == ("**" in found)
    assert [] == [part for part in found[len(named) :] if "=" not in part and part != "**"]


def test_batches_are_measured_and_trimmed_as_programs_for_batchup_0_2_do():
    """``_length_of_batch(batch)`` and ``_trim_batch(batch, length)`` stay callable."""
    batch = ([1, 2, 3], ([4, 5, 6],))

    assert 3 == data_source._length_of_batch(batch)
    assert ([1, 2], ([4, 5],)) == data_source._trim_batch(batch, 2)


SOURCES = [
    data_source.AbstractDataSource,
    data_source.ArrayDataSource,
    data_source.CallableDataSource,
    data_source.ChoiceDataSource,
    data_source.CompositeDataSource,
    data_source.IteratorDataSource,
    data_source.MapDataSource,
    work_pool.ParallelDataSource,
]


@pytest.mark.parametrize("method", ["batch_iterator", "batch_indices_iterator"])
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.__name__)
def test_every_source_takes_batch_size_and_shuffle_by_name(source, method):
    """``batch_iterator(batch_size=64, shuffle=rng)`` is a call of any source."""
    bound = inspect.signature(getattr(source, method)).bind(None, batch_size=64, shuffle=None)

    assert bound.args[1:2] == (64,)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.__name__)
def test_is_random_access_is_a_property(source):
    """It is asked without a call."""
    assert isinstance(inspect.getattr_static(source, "is_random_access"), property)


PUBLIC = [
    pytest.param(module, name, id=f"{module.__name__}.{name}")
    for module in (batchup, batch_iter, data_source, errors, flow, loader, sampling, work_pool)
    for name in module.__all__
]


@pytest.mark.parametrize(("module", "name"), PUBLIC)
def test_a_public_name_is_there_and_documented(module, name):
    """Each name in ``__all__`` exists; a class or function has a docstring, and so have its public methods."""
    found = getattr(module, name)
    if not (inspect.isclass(found) or inspect.isroutine(found)):
        return

    members = inspect.getmembers(found, inspect.isroutine) if inspect.isclass(found) else []
    ours = [(f"{name}.{inner}", member) for inner, member in members if not inner.startswith("_")]
    assert [] == [label for label, member in [(name, found), *ours] if not inspect.getdoc(member)]


@pytest.mark.parametrize("name", ["ArrayDataSource", "StandardSampler", "WorkerThreadPool", "WorkerProcessPool"])
def test_the_front_door_has_the_common_names(name):
    """``from batchup import ArrayDataSource`` gives the class of the submodule."""
    home = next(module for module in (data_source, sampling, work_pool) if hasattr(module, name))

    assert getattr(home, name) is getattr(batchup, name)
