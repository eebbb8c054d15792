"""Each snippet of the guide to the Batch class does what the guide says, its dots filled in."""

import numpy as np
import pytest

from batchup.flow import (
    Batch,
    D,
    Dataset,
    DatasetIndex,
    FilesIndex,
    Pipeline,
    action,
    any_action_failed,
    inbatch_parallel,
)

N = 10
IMAGES = np.arange(N * 4.0).reshape(N, 2, 2)
MASKS = IMAGES > 11
LABELS = np.arange(N) * 10


# Index


def test_a_batch_made_by_a_generator_has_the_index_of_its_items():
    """``batch.index`` is a DatasetIndex with all items of the batch; ``batch.indices`` is the sequence of their ids."""
    batches = list(Dataset(5).gen_batch(2, n_epochs=1))

    assert all(isinstance(batch.index, DatasetIndex) for batch in batches)
    assert [[0, 1], [2, 3], [4]] == [batch.indices.tolist() for batch in batches]


@pytest.mark.parametrize("index", [[3, 1, 4], np.array([3, 1, 4]), DatasetIndex([3, 1, 4])])
def test_a_batch_made_by_hand_has_an_index_too(index):
    """A list, an array and an index are all taken, and wrapped."""
    batch = Batch(index)

    assert isinstance(batch.index, DatasetIndex)
    assert [3, 1, 4] == batch.indices.tolist()


def test_the_index_of_a_batch_is_of_the_kind_of_the_index_of_its_dataset(tmp_path):
    """An instance of a child of DatasetIndex, where the dataset has one."""
    (tmp_path / "a.txt").write_text("a")

    batch = Dataset(FilesIndex(path=f"{tmp_path}/*.txt")).next_batch(1)

    assert isinstance(batch.index, FilesIndex)
    assert f"{tmp_path}/a.txt" == batch.index.get_fullpath("a.txt")


# Data


def test_load_fills_the_data():
    """After ``self.load(src=some_data)``, ``data`` holds the items of the batch."""
    some_data = LABELS

    class MyBatch(Batch):
        def some_method(self):
            self.load(src=some_data)

    batch = MyBatch([7, 2])
    batch.some_method()

    assert [70, 20] == batch.data.tolist()
    assert [70, 20] == batch._data.tolist()


@pytest.mark.parametrize("components", [None, ("comp1", "comp2"), ("comp0", "comp1", "comp2")])
def test_load_fills_only_the_components_that_it_is_told(components):
    """``load(src=…, components=[…])`` puts data into these, whether the class has declared them or not."""
    some_data = (IMAGES, LABELS)
    declared = components

    class MyBatch(Batch):
        components = declared

        def some_method(self):
            self.load(src=some_data, components=["comp1", "comp2"])

    batch = MyBatch([7, 2])
    batch.some_method()

    assert np.array_equal(IMAGES[[7, 2]], batch.comp1)
    assert [70, 20] == batch.comp2.tolist()
    assert getattr(batch, "comp0", None) is None


# preloaded


class MyBatch(Batch):
    components = "images", "masks", "labels"


def test_a_batch_with_preloaded_data_needs_no_load():
    """``data`` holds them right after the batch is made."""
    index, data = [7, 2], (IMAGES, MASKS, LABELS)
    batch = MyBatch(index, preloaded=data)

    assert [70, 20] == batch.data.labels.tolist()
    assert np.array_equal(IMAGES[[7, 2]], batch.images)


def test_a_dataset_with_preloaded_data_makes_batches_that_hold_their_share():
    """``gen_batch()`` and ``next_batch()`` need no load either."""
    index, data = N, (IMAGES, MASKS, LABELS)
    dataset = Dataset(index, batch_class=MyBatch, preloaded=data)

    assert [[0, 10, 20, 30], [40, 50, 60, 70], [80, 90]] == [
        batch.labels.tolist() for batch in dataset.gen_batch(4, n_epochs=1)
    ]
    assert [0, 10, 20] == dataset.next_batch(3).labels.tolist()


@pytest.mark.parametrize(
    "data",
    [(IMAGES, MASKS, LABELS), [IMAGES, MASKS, LABELS], {"labels": LABELS, "masks": MASKS, "images": IMAGES}],
    ids=["tuple", "list", "dict"],
)
def test_preloading_is_equivalent_to_load(data):
    """``preloaded=data`` gives what ``batch.load(src=data)`` gives, by order from a tuple, by name from a dict."""
    preloaded, loaded = MyBatch([7, 2], preloaded=data), MyBatch([7, 2]).load(src=data)

    for name in MyBatch.components:
        assert np.array_equal(getattr(loaded, name), getattr(preloaded, name))
    assert [70, 20] == loaded.labels.tolist()


def test_preloaded_data_of_a_batch_without_components_are_indexed_by_ids():
    """One array, cropped to the items of the batch."""
    assert [70, 20] == Batch([7, 2], preloaded=LABELS).data.tolist()


# components


@pytest.fixture
def batch():
    return MyBatch([3, 5, 4, 8, 6, 1], preloaded=(IMAGES.copy(), MASKS.copy(), LABELS.copy()))


def test_a_component_is_read_by_position(batch):
    """``batch.images[5]`` is the image of the sixth item, whatever its id."""
    image_5 = batch.images[5]

    assert np.array_equal(IMAGES[1], image_5)


def test_a_component_is_written_by_position(batch):
    """``batch.images[i] = new_image`` is there when read again."""
    i, new_image = 2, np.full((2, 2), -1.0)
    batch.images[i] = new_image

    assert np.array_equal(new_image, batch.images[2])
    assert np.array_equal(new_image, batch[4].images)
    assert np.array_equal(IMAGES[5], batch.images[1])


def test_an_item_is_read_by_its_id(batch):
    """``batch[k].labels`` is the label of the item with the id k."""
    k = 8
    label_k = batch[k].labels

    assert 80 == label_k


def test_an_item_is_written_by_its_id(batch):
    """``batch[4].masks = new_masks`` changes the component at the item with the id 4, and nowhere else."""
    new_masks = np.ones((2, 2), dtype=bool)
    batch[4].masks = new_masks

    assert np.array_equal(new_masks, batch.masks[2])
    assert np.array_equal(MASKS[[3, 5, 8, 6, 1]], batch.masks[[0, 1, 3, 4, 5]])


def test_the_preloaded_data_stay_as_they_were():
    """What is written into a batch does not reach the data that it was cropped from."""
    images = IMAGES.copy()

    batch = MyBatch([3, 4], preloaded=(images, MASKS, LABELS))
    batch.images[0] = -1

    assert np.array_equal(IMAGES, images)


def test_components_are_loaded_from_different_sources():
    """ "You can load components from different sources, or save components to disk"."""
    batch = MyBatch([3, 5]).load(src=IMAGES, components="images").load(src=LABELS, components="labels")
    saved = np.zeros(N, dtype=int)

    batch.dump(dst=saved, components="labels")

    assert np.array_equal(IMAGES[[3, 5]], batch.images)
    assert {30, 50, 0} == set(saved.tolist())
    assert [30, 50] == saved[[3, 5]].tolist()


# Dataset


def test_a_batch_refers_to_its_dataset_whatever_becomes_of_it():
    """``batch.dataset`` is the dataset that the batch was made from, before and after every action."""

    class Other(Batch):
        pass

    class Changing(Batch):
        @action
        def transform(self):
            return Other(np.arange(2))

    dataset = Dataset(5, Changing)

    assert dataset is dataset.next_batch(3).dataset
    assert dataset is dataset.p.transform().next_batch(3).dataset


@pytest.mark.usefixtures("kept_workers")
@pytest.mark.parametrize("target", ["threads", "mpc"])
def test_a_batch_made_ahead_refers_to_its_dataset(target):
    """The very dataset, not a copy of it, in whatever process the batch was made."""
    dataset = Dataset(5, MyBatch, preloaded=(IMAGES, MASKS, LABELS))

    batches = list(dataset.p.do_nothing().gen_batch(2, n_epochs=1, prefetch=2, target=target))

    assert [True] * 3 == [batch.dataset is dataset for batch in batches]


def test_attributes_of_the_dataset_are_reached_by_an_expression():
    """``D.name`` and ``D('name')`` in a pipeline are the attribute of its dataset."""
    seen = []

    class Noting(Batch):
        @action
        def note(self, *values):
            seen.append(values)
            return self

    dataset = Dataset(5, Noting, mean=0.5)
    dataset.p.note(D.mean, D("mean")).next_batch(3)

    assert [(0.5, 0.5)] == seen


# Action methods


def test_an_action_is_a_step_of_pipelines_and_a_method_of_batches():
    """What ``@action`` marks is called by pipelines, and by hand."""

    class MyBatch(Batch):
        calls = 0

        @action
        def some_action(self):
            # process your data
            self.calls += 1
            return self

    assert 1 == (Dataset(5, MyBatch) >> Pipeline().some_action()).next_batch(3).calls
    assert 1 == MyBatch([1, 2]).some_action().calls


def test_an_action_may_return_a_batch_of_another_class():
    """The steps behind it are those of the other class."""

    class Numbers(Batch):
        @action
        def double(self):
            self._data = self.data * 2
            return self

    class Words(Batch):
        @action
        def measure(self):
            numbers = Numbers(self.index)
            numbers.data = np.array([len(word) for word in self.data])
            return numbers

    dataset = Dataset(3, Words, preloaded=np.array(["a", "bcd", "ef"]))

    assert [2, 6, 4] == dataset.p.measure().double().next_batch(3).data.tolist()


def test_an_action_that_returns_no_batch_is_named():
    """A forgotten ``return self`` is a TypeError at that action, not at the next."""

    class Forgetful(Batch):
        @action
        def some_action(self):
            pass

    with pytest.raises(TypeError, match="some_action"):
        Dataset(3, Forgetful).p.some_action().do_nothing().next_batch(3)


# Models and model-based actions


class Counting:
    """A model by its methods: it counts what it is trained on."""

    def __init__(self):
        self.seen = 0

    def train(self, data):
        self.seen += len(data)

    def predict(self, data):
        return np.full(len(data), self.seen)


def test_an_action_gets_a_model_by_its_name():
    """``self.get_model_by_name(name)`` is the model of the batch's pipeline, the same one for every batch."""

    class MyBatch(Batch):
        @action
        def train_my_model(self, model_name):
            my_model = self.get_model_by_name(model_name)
            my_model.train(self.data)
            return self

    model = Counting()
    pipeline = Dataset(N, MyBatch, preloaded=LABELS).p.init_model("my_model", source=model)
    pipeline = pipeline.train_my_model("my_model").run(4, n_epochs=1)

    assert N == pipeline.get_model_by_name("my_model").seen


# Running methods in parallel


@pytest.mark.parametrize("target", ["for", "threads", "async"])
def test_a_method_runs_in_parallel_for_each_item(target):
    """``_init_fn`` gives what each call gets, the call returns a value, ``_post_fn`` puts all values together."""

    class MyBatch(Batch):
        @action
        @inbatch_parallel(init="_init_fn", post="_post_fn", target="threads")
        def some_action(self, item, arg1, arg2):
            # process just one item
            some_value = self.get(item) * arg1 + arg2
            return some_value

        def _init_fn(self, *args, **kwargs):
            return self.indices

        def _post_fn(self, results, *args, **kwargs):
            self._data = np.array(results)
            return self

    batch = MyBatch([7, 2, 5], preloaded=LABELS).some_action(2, arg2=1, target=target)

    assert [141, 41, 101] == batch.data.tolist()


def test_a_parallel_action_is_a_step_of_pipelines():
    """The arguments of the step reach each call."""

    class MyBatch(Batch):
        @action
        @inbatch_parallel(init="_init_fn", post="_post_fn", target="threads")
        def some_action(self, item, arg1, arg2):
            return item * arg1 + arg2

        def _init_fn(self, *args, **kwargs):
            return self.data

        def _post_fn(self, results, *args, **kwargs):
            self.put_into_data(np.array(results))
            return self

    pipeline = Dataset(N, MyBatch, preloaded=LABELS).p.some_action(2, arg2=D("shift"))
    pipeline.dataset.shift = 1

    assert [[1, 21, 41, 61], [81, 101, 121, 141]] == [
        batch.data.tolist() for batch in pipeline.gen_batch(4, n_epochs=1, drop_last=True)
    ]


# Writing your own Batch


class Parametrised(Batch):
    components = "images", "labels"

    def __init__(self, index, your_param1, your_param2, *args, **kwargs):
        super().__init__(index)
        # process your data
        self.sum_of_params = your_param1 + your_param2


@pytest.mark.parametrize("make", ["next_batch", "pipeline"])
def test_the_constructor_may_have_parameters(make):
    """They are given to the generator of batches; dataset and preloaded data come into the batch all the same."""
    dataset = Dataset(N, Parametrised, preloaded=(IMAGES, LABELS))
    source = dataset if make == "next_batch" else dataset.p.do_nothing()

    batch = source.next_batch(3, your_param1=1, your_param2=2)

    assert 3 == batch.sum_of_params
    assert dataset is batch.dataset
    assert [0, 10, 20] == batch.labels.tolist()


@pytest.mark.usefixtures("kept_workers")
def test_the_constructor_has_a_guarantee_with_prefetching_in_processes():
    """A batch with such a constructor comes back from worker processes as it is made here."""
    pipeline = Dataset(N, Parametrised, preloaded=(IMAGES, LABELS)).p.do_nothing()

    batches = list(pipeline.gen_batch(4, n_epochs=1, prefetch=2, target="mpc", your_param1=1, your_param2=2))

    assert [3, 3, 3] == [batch.sum_of_params for batch in batches]
    assert LABELS.tolist() == np.concatenate([batch.labels for batch in batches]).tolist()


def test_a_constructor_that_gives_no_index_fails_at_once():
    """The guide's bad example: it reads a file, and hands on no index to the batch."""

    def read(file):
        return open(file).read()

    class MyBatch(Batch):
        def __init__(self, index, your_param1, your_param2, *args, **kwargs):
            super().__init__()
            file = your_param1
            self._data = read(file)

    with pytest.raises(TypeError, match="index"):
        Dataset(N, MyBatch).next_batch(3, your_param1="a.txt", your_param2=2)


def test_data_are_loaded_by_an_action_not_by_the_constructor(tmp_path):
    """The guide's good example: the constructor sets properties, ``load`` reads the file into ``_data``."""
    np.savetxt(tmp_path / "numbers.txt", LABELS)

    class MyBatch(Batch):
        def __init__(self, index, your_param1, your_param2, *args, **kwargs):
            super().__init__(index)
            self.read = your_param1

        @action
        def load(self, fmt=None, src=None):
            # load data from source
            read = self.read
            self._data = read(src)[self.indices]
            return self

    pipeline = Dataset(N, MyBatch).p.load(src=tmp_path / "numbers.txt")

    assert [0, 10, 20] == pipeline.next_batch(3, your_param1=np.loadtxt, your_param2=None).data.tolist()


def test_components_take_one_line():
    """A class attribute with their names; a batch made without data has all of them, and each is None."""

    class MyBatch(Batch):
        components = "images", "masks", "labels"

    batch = MyBatch([1, 2])

    assert [None, None, None] == [batch.images, batch.masks, batch.labels]


def test_a_method_that_changes_data_is_made_an_action():
    """``change_data(arg1, arg2)`` is a step for the whole dataset."""

    class MyBatch(Batch):
        @action
        def change_data(self, arg1, arg2):
            # process your data
            self._data = self.data * arg1 + arg2
            return self

    pipeline = Dataset(4, MyBatch, preloaded=LABELS).p.change_data(2, arg2=1)

    assert [[1, 21], [41, 61]] == [batch.data.tolist() for batch in pipeline.gen_batch(2, n_epochs=1)]


# Define load and dump action-methods


class Blobs(Batch):
    components = ("x",)

    @action
    def load(self, src, fmt="raw"):
        if fmt == "raw":
            self.x = np.fromfile(src, dtype="f4")[self.indices]  # load from a raw file
        elif fmt == "blosc":
            self.x = np.load(src)[self.indices]  # load from a blosc file
        else:
            super().load(src, fmt)
        return self

    @action
    def dump(self, dst, fmt="raw"):
        if fmt == "raw":
            self.x.tofile(dst)  # write self.data to a raw file
        elif fmt == "blosc":
            np.save(dst, self.x)  # write self.data to a blosc file
        else:
            super().dump(dst, fmt)
        return self

    @action
    def some_action(self, param1):
        self.x = self.x + param1
        return self

    @action
    def other_action(self, param2):
        self.x = self.x * param2
        return self

    @action
    def one_more_action(self):
        self.x = -self.x
        return self


def test_loads_actions_and_dumps_make_a_chain(tmp_path):
    """``batch.load(…).some_action(…)….dump(…)``, in formats of the user's own."""
    param1, param2 = 1, 2
    LABELS.astype("f4").tofile(tmp_path / "in.raw")

    batch = Blobs([1, 2, 3])
    (
        batch.load(tmp_path / "in.raw", "raw")
        .some_action(param1)
        .other_action(param2)
        .one_more_action()
        .dump(tmp_path / "out.npy", "blosc")
    )

    assert [-22, -42, -62] == np.load(tmp_path / "out.npy").tolist()


def test_the_chain_is_a_pipeline_too(tmp_path):
    """The very same words, lazily, for the whole dataset."""
    LABELS.astype("f4").tofile(tmp_path / "in.raw")
    pipeline = Dataset(3, Blobs).p.load(tmp_path / "in.raw", "raw").some_action(1).dump(tmp_path / "out.raw", "raw")

    pipeline.run(3, n_epochs=1)

    assert [1, 11, 21] == np.fromfile(tmp_path / "out.raw", dtype="f4").tolist()


def test_what_is_no_format_of_the_users_goes_on_to_the_standard_ones(tmp_path):
    """``super().load(src, fmt)`` and ``super().dump(dst, fmt)`` take source and format by position."""
    pandas = pytest.importorskip("pandas")
    pandas.DataFrame({"x": LABELS}).to_csv(tmp_path / "in.csv")

    Blobs([7, 2]).load(tmp_path / "in.csv", "csv").some_action(1).dump(tmp_path / "out.csv", "csv")

    assert [71, 21] == pandas.read_csv(tmp_path / "out.csv")["x"].tolist()


def test_without_a_format_the_source_by_position_is_an_array():
    """``super().load(src, None)`` crops it by ids, ``super().dump(dst, None)`` writes at the ids."""
    saved = np.zeros(N)

    Blobs([7, 2]).load((LABELS,), None).some_action(1).dump(saved, None)

    assert [0, 0, 21, 0, 0, 0, 0, 71, 0, 0] == saved.tolist()


# Make all I/O in async methods


class Files(Batch):
    @action
    def load(self, src, fmt="raw"):
        if fmt == "raw":
            self.put_into_data(self._load_raw(src))
        elif fmt == "blosc":
            self.put_into_data(self._load_blosc(src))
        else:
            raise ValueError("Unknown format '%s'" % fmt)
        return self

    @inbatch_parallel(init="_init_io", post="_post_io", target="async")
    async def _load_raw(self, item, full_path):
        # load one data item from a raw format file
        loaded_item = np.fromfile(full_path, dtype="f4")
        return loaded_item

    @inbatch_parallel(init="_init_io", post="_post_io", target="async")
    async def _load_blosc(self, item, full_path):
        return np.load(full_path)

    def _init_io(self):
        return [[item_id, self.index.get_fullpath(item_id)] for item_id in self.indices]

    def _post_io(self, all_res):
        if any_action_failed(all_res):
            raise IOError("Could not load data.")
        else:
            self.put_into_data(np.concatenate(all_res))
        return self


@pytest.fixture
def files(tmp_path):
    for i in range(4):
        np.full(2, i, dtype="f4").tofile(tmp_path / f"{i}.raw")
    return FilesIndex(path=f"{tmp_path}/*.raw", no_ext=True)


# The snippet gives `src` to `_load_raw`, which has no room for it: it is left out, with a warning.
SRC_IS_LEFT_OUT = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@SRC_IS_LEFT_OUT
def test_many_files_are_read_asynchronously(files):
    """Each call gets the id and the path from ``_init_io``; ``_post_io`` gets all results in order."""
    batches = list(Dataset(files, Files).p.load("anywhere").gen_batch(3, n_epochs=1))

    assert [[0, 0, 1, 1, 2, 2], [3, 3]] == [batch.data.tolist() for batch in batches]


def test_an_argument_that_the_method_has_no_room_for_is_left_out_with_a_warning(files):
    """The ``src`` that the guide gives to ``_load_raw`` gets no further, and this is said."""
    with pytest.warns(RuntimeWarning, match="_load_raw"):
        Dataset(files, Files).next_batch(2).load("anywhere")


@SRC_IS_LEFT_OUT
def test_a_file_that_cannot_be_read_is_seen_by_the_post_method(files, tmp_path):
    """Failures are values among the results; what ``_post_io`` raises is what the user gets."""
    (tmp_path / "2.raw").unlink()

    with pytest.raises(IOError, match=r"Could not load data\."):
        Dataset(files, Files).next_batch(4).load("anywhere")


@SRC_IS_LEFT_OUT
def test_asynchronous_reading_works_while_an_event_loop_runs(files):
    """As it does in a notebook."""
    import asyncio

    async def cell():
        return Dataset(files, Files).next_batch(2).load("anywhere").data

    assert [0, 0, 1, 1] == asyncio.run(cell()).tolist()


def test_an_unknown_format_is_the_users_own_error(files):
    """It comes through the pipeline as it is."""
    with pytest.raises(ValueError, match="Unknown format 'jpeg'"):
        Dataset(files, Files).p.load("anywhere", fmt="jpeg").next_batch(2)


# Make all I/O in async methods even if there is nothing to parallelize


class Waiting(Batch):
    @inbatch_parallel(init="run_once", target="async")
    async def read_some_data(self, src, fmt="raw"):
        self.calls = [*getattr(self, "calls", []), (src, fmt)]

    @action
    def do_whatever_you_want(self):
        return self

    @action
    def do_something_else(self):
        self.at_the_end = list(self.calls)
        return self


def test_an_asynchronous_method_that_runs_once_is_a_step_and_is_waited_for():
    """It gets the arguments of the call and no others, once a batch, and is done when the next step begins."""
    some_pipeline = Dataset(4, Waiting).p
    pipeline = some_pipeline.do_whatever_you_want().read_some_data("/some/path").do_something_else()

    assert [("/some/path", "raw")] == pipeline.next_batch(3).at_the_end


def test_a_post_method_of_ones_own_checks_the_one_result():
    """The error of the one call is a value that it may look at."""

    class MyBatch(Batch):
        @inbatch_parallel(init="run_once", post="_check", target="async")
        async def read_some_data(self, src, fmt="raw"):
            raise FileNotFoundError(src)

        def _check(self, all_res):
            self.errors = self.get_errors(all_res)
            return self

    (error,) = Dataset(4, MyBatch).p.read_some_data("/some/path").next_batch(3).errors

    assert isinstance(error, FileNotFoundError)
