"""Each entry of the reference of Batch, and each of its examples, does what the reference says."""

import inspect

import numpy as np
import pytest

from batchup.flow import (
    B,
    Batch,
    Dataset,
    F,
    FilesIndex,
    P,
    Pipeline,
    R,
    action,
    any_action_failed,
    apply_parallel,
    inbatch_parallel,
)

N = 10
IMAGES = np.arange(N * 4.0).reshape(N, 2, 2)
MASKS = (np.arange(N * 4) % 3 == 0).reshape(N, 2, 2)
LABELS = np.arange(N) * 10


class MyBatch(Batch):
    components = "images", "masks", "features"

    @staticmethod
    def some_static_method(item):
        return item + 1

    def some_method(self, item):
        return item + len(self)


def make(index=(7, 2, 5), **kwargs):
    return MyBatch(list(index), preloaded=(IMAGES.copy(), MASKS.copy(), LABELS.copy()), **kwargs)


@pytest.fixture
def batch():
    return make()


# Batch(index, dataset=None, pipeline=None, preloaded=None, copy=False, *args, **kwargs)


def test_the_constructor_has_the_parameters_of_the_reference():
    """In this order, with these defaults."""
    parameters = list(inspect.signature(Batch).parameters.values())

    assert ["index", "dataset", "pipeline", "preloaded", "copy", "args", "kwargs"] == [p.name for p in parameters]
    assert [None, None, None, False] == [p.default for p in parameters[1:5]]


def test_dataset_and_pipeline_are_plain_attributes():
    """They are what the constructor was given."""
    dataset, pipeline = Dataset(5), Pipeline()

    batch = Batch([1, 2], dataset, pipeline)

    assert dataset is batch.dataset
    assert pipeline is batch.pipeline


def test_a_copy_is_isolated_from_the_data_it_came_from():
    """With ``copy=True``, even objects within an array are not those of the source."""
    source = np.array([[1], [2], [3]] + [None], dtype=object)[:3]

    batch = Batch([0, 2], preloaded=source, copy=True)
    batch.data[0].append(9)

    assert [1] == source[0]


# The note on @apply_parallel methods


class Decorated(Batch):
    components = "images", "masks"

    @apply_parallel
    def other_method(self, image, by=1):
        return image + by

    @action
    def twice(self):
        self.images = np.stack([self._other_method_(self._other_method_(image)) for image in self.images])
        return self


class Child(Decorated):
    @apply_parallel
    def child_method(self, image):
        return self._other_method_(image, by=100)


@pytest.mark.parametrize("kind", [Decorated, Child])
def test_a_decorated_method_is_an_action_and_its_underscored_name_is_the_function(kind):
    """``batch.method(src=…)`` is for all items, ``self._method_(item)`` for one; in child classes, too."""
    batch = kind([7, 2], preloaded=(IMAGES, MASKS))

    assert np.array_equal(IMAGES[[7, 2]] + 3, batch.other_method(src="images", by=3).images)
    assert np.array_equal(IMAGES[[7, 2]] + 5, batch.twice().images)


def test_a_child_class_decorates_methods_of_its_own():
    """They call the inner functions of the parent's."""
    batch = Child([7, 2], preloaded=(IMAGES, MASKS)).child_method(src="images", dst="masks")

    assert np.array_equal(IMAGES[[7, 2]] + 100, batch.masks)


def test_positional_arguments_go_to_the_function():
    """``batch.other_method(30, …)`` is a call with by=30."""
    batch = Decorated([7, 2], preloaded=(IMAGES, MASKS)).other_method(30, src="images")

    assert np.array_equal(IMAGES[[7, 2]] + 30, batch.images)


# add_components


def test_components_are_added_to_one_batch(batch):
    """``add_components(name, init=data)``; other batches of the class do not get them."""
    batch.add_components("weights", init=np.ones(3))

    assert [1, 1, 1] == batch.weights.tolist()
    assert 1 == batch[5].weights
    assert not hasattr(make(), "weights")
    assert ("images", "masks", "features") == MyBatch.components


def test_several_components_are_added_at_once(batch):
    """A list of names takes one init each."""
    batch.add_components(["a", "b"], init=[np.zeros(3), np.ones(3)])

    assert ([0, 0, 0], [1, 1, 1]) == (batch.a.tolist(), batch.b.tolist())


@pytest.mark.parametrize("taken", ["images", "load", "index"])
def test_a_component_that_is_there_is_not_added_again(batch, taken):
    """A component or attribute of that name is a ValueError which names it."""
    with pytest.raises(ValueError, match=taken):
        batch.add_components(taken)


# apply_defaults


def test_apply_defaults_are_those_of_the_reference():
    """A dictionary of the class, which children redefine."""
    assert {"dst": None, "post": "_assemble", "src": None, "target": "threads"} == Batch.apply_defaults


# apply_parallel


def test_apply_parallel_has_the_parameters_of_the_reference():
    """In this order, with these defaults."""
    parameters = inspect.signature(Batch.apply_parallel).parameters
    names = ["func", "init", "post", "src", "dst", "args", "p", "target", "requires_rng", "rng_seeds", "kwargs"]

    assert names == [name for name in parameters if name in names]
    assert "for" == parameters["target"].default
    assert (None, False) == (parameters["p"].default, parameters["requires_rng"].default)


@pytest.mark.parametrize("target", ["f", "for", "t", "threads", "a", "async"])
def test_apply_parallel_is_a_list_comprehension(batch, target):
    """``container = [func(item, *args, **kwargs) for item in self.images]``, whichever engine runs it."""

    def func(item, by, sign=1):
        return sign * item + by

    expected = [func(item, 2, sign=-1) for item in batch.images]
    done = batch.apply_parallel(func, None, None, "images", "images_transformed", 2, target=target, sign=-1)

    assert done is batch
    assert np.array_equal(np.stack(expected), batch.images_transformed)


@pytest.mark.parametrize("target", ["m", "mpc"])
def test_apply_parallel_runs_in_processes(batch, target):
    """Lambdas go there as well."""
    batch.apply_parallel(lambda item: item + 1, src="images", target=target)

    assert np.array_equal(IMAGES[[7, 2, 5]] + 1, batch.images)


def test_a_coroutine_function_is_awaited(batch):
    """``target='async'`` waits for all items."""

    async def func(item):
        return item + 1

    batch.apply_parallel(func, src="images", target="async")

    assert np.array_equal(IMAGES[[7, 2, 5]] + 1, batch.images)


def test_an_unknown_target_is_refused(batch):
    """The error names those there are."""
    with pytest.raises(ValueError, match="threads"):
        batch.apply_parallel(abs, src="images", target="gpu")


def test_init_data_means_the_source_components(batch):
    """``init='data'`` hands their items to the function."""
    batch.apply_parallel(lambda item: item + 1, init="data", src="features", dst="features")

    assert [71, 21, 51] == batch.features.tolist()


@pytest.mark.parametrize("init", ["indices", "positions", "ids", "a callable", "an array"])
def test_init_is_an_attribute_a_method_a_callable_or_a_container(init):
    """A name of an attribute or of a method; a callable, which is offered src, dst and the call's keywords; data."""

    class WithInits(MyBatch):
        @property
        def positions(self):
            return self.indices

        def ids(self, src, dst):
            assert ("features", "found") == (src, dst)
            return self.indices

    batch = WithInits([7, 2, 5], preloaded=(IMAGES, MASKS, LABELS))
    special = {"a callable": lambda src, dst, **kwargs: [7, 2, 5], "an array": np.array([7, 2, 5])}

    batch.apply_parallel(lambda item: item * 2, init=special.get(init, init), src="features", dst="found")

    assert [14, 4, 10] == batch.found.tolist()


@pytest.mark.parametrize("form", ["method", "callable"])
def test_post_gets_all_results_and_the_destination(form):
    """As a name of a method, or as a callable; it is offered results, src, dst, and the call's keywords."""

    class WithPost(MyBatch):
        def collect(self, results, src, dst, **kwargs):
            setattr(self, dst, np.array(results) + 1)
            return self

    batch = WithPost([7, 2, 5], preloaded=(IMAGES, MASKS, LABELS))
    post = "collect" if form == "method" else lambda results, src, dst, **kwargs: batch.collect(results, src, dst)

    batch.apply_parallel(lambda item: item * 2, post=post, src="features")

    assert [141, 41, 101] == batch.features.tolist()


@pytest.mark.parametrize("data", [np.array([1, 2, 3]), [1, 2, 3]], ids=["array", "list"])
def test_the_source_may_be_data(batch, data):
    """An array or a list of the batch's items."""
    batch.apply_parallel(lambda item: item * 2, src=data, dst="features")

    assert [2, 4, 6] == batch.features.tolist()


def test_without_a_destination_it_is_the_source(batch):
    """``dst=None`` is ``dst=src``."""
    batch.apply_parallel(lambda item: item + 1, src="features")

    assert [71, 21, 51] == batch.features.tolist()


def test_p_is_the_probability_of_applying_it():
    """Items that it is not applied to stay as they are; 1 is all of them, 0 none."""
    batch = Batch(1000, preloaded=np.zeros(1000))

    some = batch.apply_parallel(lambda item: item + 1, p=0.3).data

    assert {0.0, 1.0} == set(some.tolist())
    assert 200 < some.sum() < 400
    assert np.array_equal(some, batch.apply_parallel(lambda item: item + 1, p=0).data)
    assert np.array_equal(some + 1, batch.apply_parallel(lambda item: item + 1, p=1).data)


@pytest.mark.parametrize("p", [np.float32(1), np.int64(1), [1, 0, 1], np.array([True, False, True])], ids=repr)
def test_p_may_be_any_number_or_a_mask(p):
    """A NumPy number counts as one, a sequence says for which items."""
    batch = Batch(3, preloaded=np.zeros(3)).apply_parallel(lambda item: item + 1, p=p)

    assert (np.ones(3) * p).tolist() == batch.data.tolist()


@pytest.mark.parametrize("target", ["for", "threads", "async", "mpc"])
def test_a_function_gets_a_generator_of_its_own_for_each_item(target):
    """``requires_rng=True`` passes ``rng=``; its numbers are the same whichever engine runs it."""

    def noise(item, rng):
        return item + rng.normal()

    def noisy(target):
        pipeline = Dataset(N, Batch, preloaded=LABELS).p
        return pipeline.apply_parallel(noise, target=target, requires_rng=True).next_batch(4, shuffle=3).data

    assert np.array_equal(noisy("for"), noisy(target))
    assert 4 == len(set((noisy("for") % 10).tolist()))


def test_seeds_may_be_given_for_each_item():
    """``rng_seeds`` has one for each; equal seeds are equal numbers."""
    batch = Batch(3, preloaded=np.zeros(3))

    noisy = batch.apply_parallel(lambda item, rng: rng.normal(), requires_rng=True, rng_seeds=[1, 2, 1]).data

    assert noisy[0] == noisy[2] != noisy[1]
    assert np.random.default_rng(1).normal() == noisy[0]


def test_a_list_of_sources_is_several_calls(batch):
    """``src=['images', 'masks']`` equals two subsequent calls, images = func(images), masks = func(masks)."""
    other = make()

    batch.apply_parallel(np.rot90, src=["images", "masks"])
    other.apply_parallel(np.rot90, src="images").apply_parallel(np.rot90, src="masks")

    assert np.array_equal(other.images, batch.images)
    assert np.array_equal(other.masks, batch.masks)
    assert np.array_equal(np.rot90(IMAGES[7]), batch.images[0])


def test_a_list_of_sources_without_destinations_writes_back():
    """``src=['images', 'masks']`` is equal to ``src=['images', 'masks'], dst=['images', 'masks']``."""
    short, long = make(), make()

    short.apply_parallel(np.rot90, src=["images", "masks"])
    long.apply_parallel(np.rot90, src=["images", "masks"], dst=["images", "masks"])

    assert np.array_equal(long.images, short.images)
    assert np.array_equal(long.masks, short.masks)


def test_named_expressions_are_evaluated_once_for_all_sources():
    """Images and masks get the same random turn, and the same items are left alone."""

    class Twins(Batch):
        components = "images", "masks"

        @apply_parallel
        def add(self, item, by):
            return item + by

    pipeline = Dataset(50, Twins, preloaded=(np.zeros(50), np.zeros(50))).p.add(
        src=["images", "masks"], by=P(R("uniform", 1, 2)), p=0.5
    )
    batch = pipeline.next_batch(50, shuffle=1)

    assert np.array_equal(batch.images, batch.masks)
    assert 10 < (batch.images == 0).sum() < 40
    assert len(set(batch.images.tolist())) > 10


def test_a_tuple_of_sources_is_one_call(batch):
    """``src=('images', 'masks')`` is ``images, masks = func((images, masks))`` for each item."""

    def func(both):
        images, masks = both
        return images + 1, ~masks

    batch.apply_parallel(func, src=("images", "masks"))

    assert np.array_equal(IMAGES[[7, 2, 5]] + 1, batch.images)
    assert np.array_equal(~MASKS[[7, 2, 5]], batch.masks)


# The examples


def make_masks_fn(image):
    return image > 15


def apply_mask(both):
    image, mask = both
    return np.where(mask, image, 0)


def rotate(image):
    return np.rot90(image)


def test_example_make_masks(batch):
    """``apply_parallel(make_masks_fn, src='images', dst='masks')``"""
    batch.apply_parallel(make_masks_fn, src="images", dst="masks")

    assert np.array_equal(IMAGES[[7, 2, 5]] > 15, batch.masks)


def test_example_apply_mask(batch):
    """``apply_parallel(apply_mask, src=('images', 'masks'), dst='images_with_masks')``"""
    batch.apply_parallel(apply_mask, src=("images", "masks"), dst="images_with_masks")

    assert np.array_equal((IMAGES * MASKS)[[7, 2, 5]], batch.images_with_masks)
    assert np.array_equal(IMAGES[[7, 2, 5]], batch.images)


def test_example_rotate_some():
    """``apply_parallel(rotate, src=['images', 'masks'], dst=['images', 'masks'], p=.2)``"""
    images = np.arange(800.0).reshape(200, 2, 2)
    batch = MyBatch(200, preloaded={"images": images, "masks": images})

    batch.apply_parallel(rotate, src=["images", "masks"], dst=["images", "masks"], p=0.2)

    turned = [not np.array_equal(one, other) for one, other in zip(images, batch.images, strict=True)]
    assert 10 < sum(turned) < 80
    assert np.array_equal(batch.images, batch.masks)
    assert all(np.array_equal(np.rot90(images[i]), batch.images[i]) for i in np.flatnonzero(turned))


def test_example_static_method():
    """``apply_parallel(MyBatch.some_static_method, p=.5)``, the source being the default of the class."""

    class WithDefaults(MyBatch):
        apply_defaults = dict(Batch.apply_defaults, src="features")

    batch = WithDefaults(200, preloaded={"features": np.zeros(200)})

    batch.apply_parallel(MyBatch.some_static_method, p=0.5)

    assert 60 < batch.features.sum() < 140


def test_example_method_of_the_batch_to_be():
    """``apply_parallel(B.some_method, src='features', p=.5)`` in a pipeline."""
    pipeline = Dataset(N, MyBatch, preloaded=(IMAGES, MASKS, LABELS)).p

    batch = pipeline.apply_parallel(B.some_method, src="features", p=0.5).next_batch(N, shuffle=1)

    change = batch.features - LABELS[batch.indices]
    assert {0, N} == set(change.tolist())


# The other entries, in the order of the reference


def test_array_of_nones(batch):
    """A 1-D array with a None for each item."""
    assert [None, None, None] == batch.array_of_nones.tolist()
    assert (1, object) == (batch.array_of_nones.ndim, batch.array_of_nones.dtype)


def test_as_dataset_preloads_the_data_of_the_batch(batch):
    """A new dataset with the ids, the class and the data of the batch."""
    dataset = batch.as_dataset(Dataset)

    assert [7, 2, 5] == dataset.indices.tolist()
    assert [[70, 20], [50]] == [each.features.tolist() for each in dataset.gen_batch(2, n_epochs=1)]
    assert isinstance(dataset.next_batch(1), MyBatch)


def test_as_dataset_takes_a_subclass_or_an_instance():
    """An instance lends its class and attributes; without one, it is the batch's own dataset."""

    class Special(Dataset):
        pass

    special = Special(N, MyBatch, preloaded=(IMAGES, MASKS, LABELS), mean=3)
    batch = special.next_batch(3)

    assert isinstance(make().as_dataset(Special), Special)
    assert 3 == make().as_dataset(special).mean
    assert isinstance(batch.as_dataset(), Special)
    with pytest.raises(ValueError, match="dataset"):
        make().as_dataset()


def test_as_dataset_may_copy(batch):
    """With ``copy=True``, transformations in place do not come back to the batch."""
    again = batch.as_dataset(Dataset, copy=True).next_batch(3)
    again.features[:] = 0

    assert [70, 20, 50] == batch.features.tolist()


def test_components_is_none_unless_declared():
    """The base class has none."""
    assert Batch.components is None


def test_attributes_are_made_from_keywords(batch):
    """``create_attrs(**kwargs)`` makes them; ``get_attrs()`` gives them back as keywords."""
    batch.create_attrs(a=1, b=2)

    assert (1, 2) == (batch.a, batch.b)
    assert {"a": 1, "b": 2} == batch.get_attrs()


def test_unknown_keywords_of_the_constructor_become_attributes():
    """``get_attrs()`` has them."""
    batch = Batch([1], threshold=0.5)

    assert 0.5 == batch.threshold
    assert {"threshold": 0.5} == batch.get_attrs()


def test_data_are_a_tuple_or_named_components(batch):
    """``data`` is what was loaded, or a view of it by names."""
    assert [70, 20] == Batch([7, 2], preloaded=LABELS).data.tolist()
    assert batch.data.images is batch.images
    assert ["features", "images", "masks"] == sorted(batch.data.as_dict())
    assert 3 == len(batch.data.as_tuple())


@pytest.mark.parametrize("name", ["data", "data_setter"])
def test_data_can_be_set(batch, name):
    """``batch.data = (…)``, or by the reference's own name for it; the data are those of the batch's items."""
    setattr(batch, name, (IMAGES[:3], MASKS[:3], LABELS[:3]))

    assert [0, 10, 20] == batch.features.tolist()


def test_deepcopy_is_independent(batch):
    """Data are copied; dataset and pipeline are the same."""
    dataset = Dataset(N, MyBatch, preloaded=(IMAGES, MASKS, LABELS))
    batch = dataset.p.do_nothing().next_batch(3)

    twin = batch.deepcopy()
    twin.features[:] = -1

    assert [0, 10, 20] == batch.features.tolist()
    assert twin.dataset is dataset
    assert twin.pipeline is batch.pipeline


def test_do_nothing_takes_anything(batch):
    """It returns the batch."""
    assert batch is batch.do_nothing(1, two=3)


def test_dump_to_an_array(batch):
    """Without a format, the items are written at their ids."""
    saved = np.zeros(N, dtype=int)

    assert batch is batch.dump(dst=saved, components="features")
    assert [0, 0, 20, 0, 0, 50, 0, 70, 0, 0] == saved.tolist()


def test_dump_without_a_format_takes_one_component(batch):
    """More than one for one array is a ValueError."""
    with pytest.raises(ValueError, match="component"):
        batch.dump(dst=np.zeros(N), components=("features", "masks"))


@pytest.mark.parametrize(("fmt", "needs"), [("csv", "pandas"), ("hdf5", "tables"), ("feather", "pyarrow")])
def test_a_table_is_dumped_and_loaded_by_ids(batch, tmp_path, fmt, needs):
    """What is in the file is found again by the ids of any batch."""
    pytest.importorskip("pandas")
    pytest.importorskip(needs)
    path, key = tmp_path / f"table.{fmt}", {"key": "table"} if fmt == "hdf5" else {}
    by_id = {"index_col": 0} if fmt == "csv" else {}

    batch.dump(dst=str(path), fmt=fmt, components="features", **key)
    found = MyBatch([5, 7]).load(src=str(path), fmt=fmt, dst="features", **key, **by_id)

    assert [50, 70] == np.ravel(found.features).tolist()


@pytest.fixture
def files(tmp_path):
    for i in range(4):
        (tmp_path / f"{i}.item").touch()
    return FilesIndex(path=f"{tmp_path}/*.item", no_ext=True)


def test_blosc_is_a_file_for_each_item(files, tmp_path):
    """Dumped to a folder, and loaded from there by the ids of the files."""
    pytest.importorskip("blosc2")
    dataset = Dataset(files, MyBatch)
    batch = dataset.next_batch(3)
    batch.images, batch.features = IMAGES[:3], LABELS[:3]
    (tmp_path / "out").mkdir()

    batch.dump(dst=str(tmp_path / "out"), fmt="blosc", components=("images", "features"))
    loading = dataset.p.load(src=str(tmp_path / "out"), fmt="blosc", dst=("images", "features"))
    again = loading.next_batch(2)

    assert np.array_equal(IMAGES[:2], again.images)
    assert [0, 10] == again.features.tolist()


def test_an_unknown_format_is_refused(batch):
    """The error lists those there are."""
    with pytest.raises(ValueError, match="blosc.*csv|csv.*blosc"):
        batch.load(src="x.xls", fmt="xls")
    with pytest.raises(ValueError, match="blosc.*csv|csv.*blosc"):
        batch.dump(dst="x.xls", fmt="xls")


def test_from_data_makes_a_batch():
    """Its items are numbered; with an index it has the items with these ids."""
    counted = MyBatch.from_data(data=(IMAGES, MASKS, LABELS))
    some = MyBatch.from_data(index=[2, 1], data=(IMAGES, MASKS, LABELS))

    assert N == counted.size
    assert 20 == counted[2].features
    assert 10 == some[1].features


@pytest.mark.parametrize("item", [None, 2])
@pytest.mark.parametrize("component", [None, "features"])
def test_get_gives_an_item_or_a_component(batch, item, component):
    """Of the batch or of the component."""
    found = batch.get(item, component)

    if component is None:
        found = found.features
    expected = [70, 20, 50] if item is None else 20
    assert expected == np.asarray(found).tolist()


def test_errors_of_a_parallel_action_are_listed(batch):
    """``get_errors(all_res)`` has the exceptions among the results, or is None when there are none."""
    error = KeyError("a")

    assert [error] == batch.get_errors([1, error, 2])
    assert batch.get_errors([1, 2]) is None
    assert (True, False) == (any_action_failed([1, error]), any_action_failed([1, 2]))


def test_indices_and_size(batch):
    """An array with the ids, and how many."""
    assert isinstance(batch.indices, np.ndarray)
    assert [7, 2, 5] == batch.indices.tolist()
    assert 3 == batch.size == len(batch)


def test_items_are_listed(batch):
    """One for each item of the batch."""
    assert isinstance(batch.items, list)
    assert 3 == len(batch.items)


def test_items_are_what_iteration_gives(batch):
    """In the order of the batch."""
    assert [70, 20, 50] == [item.features for item in batch]
    assert [70, 20] == list(Batch([7, 2], preloaded=LABELS))


# load


@pytest.fixture
def frame():
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame({"labels": LABELS, "features": LABELS / 10})


class Table(Batch):
    components = "features", "labels"


def test_example_load_a_frame_into_all_components(frame):
    """``batch.load(src=dataframe)``: columns go to the components of their names."""
    batch = Table([7, 2])
    batch.load(src=frame)

    assert ([7, 2], [70, 20]) == (batch.features.tolist(), batch.labels.tolist())


def test_example_load_columns_of_a_frame(frame):
    """``batch.load(src=dataframe, dst=('features', 'labels'))``"""
    batch = Batch([7, 2])
    batch.load(src=frame, dst=("features", "labels"))

    assert ([7, 2], [70, 20]) == (batch.features.tolist(), batch.labels.tolist())


def test_example_load_a_frame_into_a_component(frame):
    """``batch.load(src=dataframe, dst='features')``: the whole of it, its rows being the items."""
    batch = Batch([7, 2])
    batch.load(src=frame, dst="features")

    assert [[70, 7], [20, 2]] == np.asarray(batch.features).tolist()


def test_example_load_a_dict():
    """``batch.load(src=dict(images=images_array, masks=masks_array), dst=('images', 'masks'))``"""
    images_array, masks_array = IMAGES, MASKS
    batch = MyBatch([7, 2])
    batch.load(src=dict(images=images_array, masks=masks_array), dst=("images", "masks"))

    assert np.array_equal(IMAGES[[7, 2]], batch.images)
    assert np.array_equal(MASKS[[7, 2]], batch.masks)
    assert batch.features is None


def test_example_load_a_tuple():
    """``batch.load(src=(images_array, masks_array), dst=('images', 'masks'))``"""
    images_array, masks_array = IMAGES, MASKS
    batch = MyBatch([7, 2])
    batch.load(src=(images_array, masks_array), dst=("images", "masks"))

    assert np.array_equal(IMAGES[[7, 2]], batch.images)
    assert np.array_equal(MASKS[[7, 2]], batch.masks)


def test_example_load_an_array():
    """``batch.load(src=images_array, dst='images')``"""
    images_array = IMAGES
    batch = MyBatch([7, 2])
    batch.load(src=images_array, dst="images")

    assert np.array_equal(IMAGES[[7, 2]], batch.images)


def test_example_load_csv(frame, tmp_path):
    """``batch.load(fmt='csv', src='/path/to/file.csv', dst=('features', 'labels'), index_col=0)``"""
    path = tmp_path / "file.csv"
    frame.to_csv(path)
    batch = Batch([7, 2])
    batch.load(fmt="csv", src=str(path), dst=("features", "labels"), index_col=0)

    assert ([7, 2], [70, 20]) == (batch.features.tolist(), batch.labels.tolist())


def test_loading_makes_components_where_they_are_missing():
    """In the order in which they are given."""
    batch = Batch([7, 2])
    batch.load(src=(LABELS, IMAGES), dst=("b", "a"))

    assert ("b", "a") == tuple(batch.components)
    assert [70, 20] == batch.b.tolist()


# merge


def parts():
    dataset = Dataset(N, MyBatch, preloaded=(IMAGES, MASKS, LABELS))
    return list(dataset.gen_batch(4, n_epochs=1))


def test_batches_are_merged_into_one():
    """Without a size, all of them; the rest is None."""
    batch, rest = MyBatch.merge(parts())

    assert LABELS.tolist() == batch.features.tolist()
    assert np.array_equal(IMAGES, batch.images)
    assert rest is None


def test_batches_are_merged_into_one_of_a_size_and_a_rest():
    """``batch_size=7`` of ten items leaves three."""
    batch, rest = MyBatch.merge(parts(), batch_size=7)

    assert (LABELS[:7].tolist(), LABELS[7:].tolist()) == (batch.features.tolist(), rest.features.tolist())


@pytest.mark.parametrize("components", ["features", ("features",)])
def test_only_some_components_are_merged(components):
    """Those given by a name or a tuple of names."""
    batch, _ = MyBatch.merge(parts(), components=components)

    assert LABELS.tolist() == batch.features.tolist()
    assert getattr(batch, "images", None) is None


def test_merged_batches_may_be_of_another_class():
    """``batch_class``; otherwise they are of the class of the first."""
    other, rest = MyBatch.merge(parts(), batch_size=7, batch_class=Child)
    same, _ = Batch.merge(parts())

    assert [Child, Child, MyBatch] == [type(other), type(rest), type(same)]


def test_a_component_that_some_batches_do_not_have_is_refused():
    """None in some and data in others is a ValueError which names the component."""
    some = parts()
    some[1].masks = None

    with pytest.raises(ValueError, match="masks"):
        MyBatch.merge(some)


def test_how_a_component_is_merged_is_the_classs_to_say():
    """``merge_component`` gets its data from all batches."""

    class Backwards(MyBatch):
        @classmethod
        def merge_component(cls, component=None, data=None):
            return super().merge_component(component, data[::-1])

    some = [Backwards([i], preloaded=(IMAGES, MASKS, LABELS)) for i in range(3)]

    assert [20, 10, 0] == Backwards.merge(some)[0].features.tolist()
    assert [0, 1, 2] == Batch.merge_component("x", [np.array([0, 1]), np.array([2])]).tolist()


# pipeline, random, random_seed


def test_a_batch_knows_the_pipeline_that_it_is_used_in():
    """In its actions."""
    seen = []

    class Noting(Batch):
        @action
        def note(self):
            seen.append(self.pipeline.get_variable("answer"))
            return self

    Dataset(3, Noting).p.init_variable("answer", 42).note().next_batch(3)

    assert [42] == seen


def test_random_is_a_generator_that_reproduces():
    """``self.random.normal(0, 1)`` in an action depends on the seed and the batch."""

    class Noisy(Batch):
        @action
        def draw(self):
            self.x = self.random.normal(0, 1)
            return self

    def drawn(seed, **kwargs):
        return [b.x for b in Dataset(N, Noisy).p.draw().gen_batch(2, n_epochs=1, shuffle=seed, **kwargs)]

    assert isinstance(Batch([1]).random, np.random.Generator)
    assert drawn(1) == drawn(1) == drawn(1, prefetch=3)
    assert 5 == len(set(drawn(1)))
    assert drawn(1) != drawn(2)


def test_random_seed_is_a_seed_sequence(batch):
    """It can be set, and then says what ``random`` draws."""
    assert isinstance(batch.random_seed, np.random.SeedSequence)

    draws = []
    for _ in range(2):
        batch.random_seed = np.random.SeedSequence(5)
        draws.append(batch.random.normal())

    assert draws[0] == draws[1]


# run_once, save, to_array


def test_run_once_is_an_init_for_one_call():
    """The method runs once, with the arguments of the call alone, and is waited for."""
    calls = []

    class Once(Batch):
        @action
        @inbatch_parallel(init="run_once", target="async")
        async def method(self, a, b=0):
            calls.append((a, b))

    batch = Once([1, 2, 3])

    assert batch is batch.method(1, b=2)
    assert [(1, 2)] == calls


def test_save_is_dump(batch):
    """An alias."""
    saved = np.zeros(N, dtype=int)
    batch.save(dst=saved, components="features")

    assert 70 == saved[7]


@pytest.mark.parametrize(("channels", "shape"), [(None, (4, 6)), ("first", (1, 4, 6)), ("last", (4, 6, 1))])
def test_to_array_gives_pictures_a_channel_axis(channels, shape):
    """By default 'images' become float32 with channels last."""
    batch = MyBatch(3, preloaded={"images": np.ones((3, 4, 6), dtype="uint8")})

    batch.to_array(channels=channels)

    assert (3, *shape) == batch.images.shape
    assert np.float32 == batch.images.dtype


@pytest.mark.parametrize(("channels", "shape"), [(None, (4, 6, 2)), ("first", (2, 4, 6)), ("last", (4, 6, 2))])
def test_to_array_moves_the_channel_axis(channels, shape):
    """The last axis of a picture with channels goes to the front, if that is asked for."""
    batch = MyBatch(3, preloaded={"images": np.ones((3, 4, 6, 2))})

    batch.to_array(src="images", dst="masks", dtype=None, channels=channels)

    assert (3, *shape) == batch.masks.shape
    assert np.float64 == batch.masks.dtype


def test_expressions_are_arguments_of_actions():
    """They are evaluated for the batch at hand."""

    class Adding(Batch):
        @apply_parallel
        def add(self, item, by):
            return item + by

    pipeline = Dataset(N, Adding, preloaded=LABELS).p.add(by=F(len)(B()))

    assert [4, 14, 24, 34] == pipeline.next_batch(4).data.tolist()
