"""Each promise of the overview of datasets, batches, pipelines, models and profiles is kept."""

import numpy as np
import pytest

import batchup.flow
from batchup.flow import (
    B,
    Batch,
    C,
    Dataset,
    DatasetIndex,
    F,
    FilesIndex,
    NumpySampler,
    P,
    Pipeline,
    R,
    V,
    action,
    apply_parallel,
    inbatch_parallel,
)

N = 20
IMAGES = np.arange(N * 64.0).reshape(N, 8, 8)
MASKS = (np.arange(N * 64) % 7).reshape(N, 8, 8) / 7


class Pictures(Batch):
    components = "images", "masks", "labels"

    @apply_parallel(src="images")
    def turn(self, image, times):
        return np.rot90(image, times)

    @apply_parallel(src="images")
    def brighten(self, image, by):
        return image + by


def pictures(n=N, **kwargs):
    data = IMAGES[:n], MASKS[:n], (np.arange(n) % 2)
    return Dataset(n, Pictures, preloaded=data, **kwargs)


# How to work with datasets


@pytest.fixture
def folder(tmp_path):
    for i in range(5):
        (tmp_path / f"image_{i}.png").write_bytes(bytes([i]))
        (tmp_path / f"item_{i}").mkdir()
    return tmp_path


def test_a_files_index_has_an_id_for_each_file(folder):
    """``FilesIndex(path=…)``; the id is the file's name, and its path is found by it."""
    index = FilesIndex(path=f"{folder}/*.png")

    assert [f"image_{i}.png" for i in range(5)] == index.indices.tolist()
    assert f"{folder}/image_3.png" == index.get_fullpath("image_3.png")


def test_the_ids_of_files_may_go_without_extensions(folder):
    """``no_ext=True``."""
    index = FilesIndex(path=f"{folder}/*.png", no_ext=True)

    assert "image_3" in index.indices
    assert f"{folder}/image_3.png" == index.get_fullpath("image_3")


def test_an_index_gives_batches_of_ids(folder):
    """``index.next_batch(3)`` is an index of the same kind with three of the ids, and the next one has the next."""
    index = FilesIndex(path=f"{folder}/*.png", no_ext=True)
    first, second = index.next_batch(3), index.next_batch(2)

    assert isinstance(first, FilesIndex)
    assert ["image_0", "image_1", "image_2"] == first.indices.tolist()
    assert ["image_3", "image_4"] == second.indices.tolist()
    assert f"{folder}/image_1.png" == first.get_fullpath("image_1")


def test_the_items_may_be_folders(folder):
    """``dirs=True``: files that happen to lie beside are none."""
    index = FilesIndex(path=f"{folder}/*", dirs=True)

    assert [f"item_{i}" for i in range(5)] == index.indices.tolist()


def test_two_files_of_one_name_are_refused(folder):
    """Both are named."""
    (folder / "item_0" / "image_3.png").touch()

    with pytest.raises(ValueError, match=r"(?s)image_3\.png.*item_0.image_3\.png|item_0.image_3\.png.*image_3\.png"):
        FilesIndex(path=[f"{folder}/*.png", f"{folder}/item_0/*.png"])


def test_a_dataset_in_memory_is_indexed_by_numbers():
    """``DatasetIndex(70000)``; batches of it in a similar way."""
    index = DatasetIndex(70000)

    assert [0, 1, 2] == index.next_batch(3).indices.tolist()
    assert 70000 == len(index)
    assert sorted(range(70000)) == sorted(
        i for part in index.gen_batch(4096, shuffle=1, n_epochs=1) for i in part.indices.tolist()
    )


def test_an_index_of_ones_own_is_made_by_inheritance():
    """A child says how its ids are built; its batches are of its kind."""

    class Months(DatasetIndex):
        def build_index(self, index):
            return np.array([f"2024-{m:02d}" for m in range(1, index + 1)]) if isinstance(index, int) else index

    batch = Dataset(Months(5)).next_batch(2)

    assert isinstance(batch.index, Months)
    assert ["2024-01", "2024-02"] == batch.indices.tolist()


# How to work with batches


@pytest.mark.parametrize("target", ["for", "threads", "async", "mpc"])
def test_an_action_handles_items_one_by_one(target):
    """``some_method`` gets the index of an item and returns a value, whichever engine runs it."""

    class MyBatch(Batch):
        @action
        @inbatch_parallel(init="indices", post="assemble", target=target)
        def some_method(self, item):
            return self.get(item) ** 2

        def assemble(self, results):
            self.put_into_data(np.array(results))
            return self

    batch = Dataset(N, MyBatch, preloaded=np.arange(N)).p.some_method().next_batch(4)

    assert [0, 1, 4, 9] == batch.data.tolist()


def process_mask(mask, threshold):
    """A function of this very module."""
    return (mask > threshold).astype("i1")


def test_functions_of_a_module_are_steps(monkeypatch):
    """``process_mask`` of the main program is a step by its name, and of any namespace that is added."""
    import sys

    named = Pipeline().add_namespace(sys.modules[__name__]).process_mask(B.masks, threshold=0.5, save_to=B.masks)
    monkeypatch.setattr(sys.modules["__main__"], "process_mask", process_mask, raising=False)
    current = Pipeline().process_mask(B.masks, threshold=0.5, save_to=B.masks)

    for pipeline in [named, current]:
        assert np.array_equal(MASKS[:4] > 0.5, (pipeline << pictures()).next_batch(4).masks)


def test_an_unknown_step_is_named():
    """When the pipeline meets its dataset, and not at its first batch."""
    with pytest.raises(AttributeError, match="proces_mask"):
        Pipeline().proces_mask(B.masks) << pictures()


# How to make pipelines


def test_actions_are_lazy():
    """They are executed when a processed batch is requested."""
    calls = []

    class Noting(Batch):
        @action
        def note(self, x):
            calls.append(x)
            return self

    pipeline = Dataset(3, Noting).p.note(1).note(2)
    before = list(calls)
    pipeline.next_batch(3)

    assert [] == before
    assert [1, 2] == calls


def test_without_an_expression_each_item_is_transformed_in_the_same_way():
    """Of every batch."""
    pipeline = pictures().p.brighten(by=2)

    assert [{2.0}, {2.0}] == [
        set((b.images - IMAGES[b.indices]).ravel().tolist()) for b in pipeline.gen_batch(10, n_epochs=1)
    ]


def shifts(pipeline, size=10, seed=3):
    """What was added to each item of each batch."""
    return [
        (b.images - IMAGES[b.indices])[:, 0, 0].round(6).tolist()
        for b in pipeline.gen_batch(size, n_epochs=1, shuffle=seed)
    ]


def test_r_draws_one_value_for_each_batch():
    """``R('uniform', …)``: all items of a batch have the same, another batch has another."""
    first, second = shifts(pictures().p.brighten(by=R("uniform", 1, 2)))

    assert 1 == len(set(first)) == len(set(second))
    assert first != second
    assert 1 <= first[0] < 2


def test_p_probability_applies_to_some_items():
    """``p=.8`` changes about 80 % of them."""
    values = np.concatenate(shifts(pictures().p.brighten(by=R("uniform", 1, 2), p=0.8))).tolist()

    assert 10 <= np.count_nonzero(values) < N
    assert len(set(values)) == 3


def test_p_draws_a_value_for_each_item():
    """``P(R('uniform', …))``."""
    values = np.concatenate(shifts(pictures().p.brighten(by=P(R("uniform", 1, 2))))).tolist()

    assert N == len(set(values))
    assert all(1 <= value < 2 for value in values)


def test_drawn_values_reproduce():
    """They depend on the seed alone."""
    pipeline = pictures().p.brighten(by=P(R("uniform", 1, 2)), p=0.8)

    assert shifts(pipeline) == shifts(pipeline)
    assert shifts(pipeline) != shifts(pipeline, seed=4)


def test_pipelines_are_split_into_parts_and_summed():
    """``load + augment``: the steps of both, and the parts stay as they are."""
    load = Pipeline().load(src=(IMAGES, MASKS, np.arange(N)))
    augment = Pipeline().brighten(by=1).turn(times=1)
    whole = (load + augment) << Dataset(N, Pictures)

    batch = whole.next_batch(4)

    assert np.array_equal(np.rot90(IMAGES[:4] + 1, axes=(1, 2)), batch.images)
    assert np.array_equal(IMAGES[:4], (load << Dataset(N, Pictures)).next_batch(4).images)


@pytest.mark.parametrize("bind", [lambda p, ds: p << ds, lambda p, ds: ds >> p, lambda p, ds: ds.p + p])
def test_a_dataset_is_joined_by_shifting(bind):
    """``pipeline << dataset``, or ``dataset >> pipeline``; the template is used again for another."""
    template = Pipeline().brighten(by=1)

    assert 4 == len(bind(template, pictures()).next_batch(4))
    assert 2 == len(bind(template, pictures(2)).next_batch(2))


def test_run_executes_all_of_a_pipeline():
    """One epoch, and the pipeline comes back with what its variables hold."""
    pipeline = pictures().p.init_variable("sums", []).update(V("sums", mode="a"), B.labels.sum())

    done = pipeline.run(8)

    assert [4, 4, 2] == done.get_variable("sums") == done.v("sums")


def test_a_pipeline_without_a_dataset_does_not_run():
    """The error says what to join it with."""
    with pytest.raises(ValueError, match="dataset"):
        Pipeline().do_nothing().run(8)


# How to define and use the model


class MeanModel:
    """Duck typing is enough: something that trains and predicts, built from a config."""

    def __init__(self, config=None):
        self.config = config or {}
        self.losses = []

    def train(self, images, masks):
        self.losses.append(float(np.abs(images.mean() - masks.mean())))
        return self.losses[-1]

    def predict(self, images):
        return images.mean(axis=(1, 2)) * self.config.get("scale", 1)


def test_a_model_is_initialised_and_trained_in_a_pipeline():
    """``init_model(name, class, mode, config=…)`` and ``train_model(name, B.images, B.masks)``."""
    pipeline = (
        pictures()
        .p.init_model("unet", MeanModel, "dynamic", config={"scale": 2})
        .train_model("unet", B.images, B.masks)
    )

    model = pipeline.run(8, n_epochs=2).get_model_by_name("unet")

    assert 5 == len(model.losses)
    assert {"scale": 2} == model.config


def test_a_trained_model_predicts_in_another_pipeline():
    """``import_model`` takes it over; predictions are saved where an expression says."""
    train = pictures().p.init_model("unet", MeanModel, "dynamic", config={"scale": C("scale")})
    train = train.train_model("unet", B.images, B.masks) << {"scale": 2}
    train.run(8, n_epochs=1)
    test = (
        pictures()
        .p.import_model("unet", train)
        .init_variable("predictions", [])
        .predict_model("unet", B.images, save_to=V("predictions", mode="e"))
    )

    predictions = test.run(8, n_epochs=1).v("predictions")

    assert (2 * IMAGES.mean(axis=(1, 2))).tolist() == [float(value) for value in predictions]


def test_a_torch_network_is_a_model():
    """A module with its loss and optimizer: a few steps make the loss smaller."""
    torch = pytest.importorskip("torch")
    x = np.linspace(-1, 1, 64, dtype="f4")[:, None]

    class Points(Batch):
        components = "x", "y"

    config = {
        "module": torch.nn.Linear(1, 1),
        "loss": "mse_loss",
        "optimizer": "Adam",
        "optimizer_options": {"lr": 0.1},
    }
    pipeline = (
        Dataset(64, Points, preloaded=(x, 3 * x))
        .p.init_model("net", config=config)
        .init_variable("losses", [])
        .train_model("net", B.x, B.y, save_to=V("losses", mode="a"))
    )

    losses = pipeline.run(16, shuffle=1, n_epochs=10).v("losses")

    assert float(losses[-1]) < float(losses[0]) / 2


# How to profile pipelines


def test_a_profile_tells_how_long_each_action_took():
    """``run(profile=True)``, then ``profile_info`` and ``show_profile_info()`` have a row for each action."""
    pytest.importorskip("pandas")

    pipeline = pictures().p.brighten(by=1).turn(times=1).run(8, profile=True)

    report = str(pipeline.show_profile_info())

    assert "brighten" in report
    assert "turn" in report
    assert pipeline.profile_info is not None


# What else there is


@pytest.mark.usefixtures("kept_workers")
@pytest.mark.parametrize("target", ["threads", "mpc"])
def test_prefetched_batches_are_the_same_in_the_same_order(target):
    """With whatever engine, and however many ahead."""
    pipeline = pictures().p.brighten(by=P(R("uniform", 1, 2)), p=0.8)

    ahead = list(pipeline.gen_batch(3, n_epochs=1, shuffle=5, prefetch=4, target=target))
    alone = list(pipeline.gen_batch(3, n_epochs=1, shuffle=5))

    assert 7 == len(alone) == len(ahead)
    for one, other in zip(alone, ahead, strict=True):
        assert np.array_equal(one.indices, other.indices)
        assert np.array_equal(one.images, other.images)


def test_experiments_differ_by_their_config():
    """One template and dataset, a config for each."""
    template = Pipeline().init_variable("sums", []).brighten(by=C("by")).save_to(V("sums", mode="a"), B.images.sum())

    def experiment(config):
        return sum((template << pictures(4) << config).run(2, n_epochs=1).v("sums")) - IMAGES[:4].sum()

    assert [0, 256, 512] == [experiment({"by": by}) for by in range(3)]


def test_sampling_schemes_are_put_together():
    """Weights by ``&``, mixtures by ``|``, bounds by ``truncate``: a point for each item."""
    centre = NumpySampler("n", seed=1, dim=2, loc=6, scale=2).truncate(low=5, high=7)
    corner = NumpySampler("u", seed=2, dim=2, low=0, high=1)
    points = 0.7 & centre | 0.3 & corner
    seen = []

    class Noting(Pictures):
        @apply_parallel(src="images")
        def note(self, image, at):
            seen.append(at)
            return image

    dataset = Dataset(N, Noting, preloaded=(IMAGES, MASKS, np.arange(N)))
    dataset.p.note(at=P(F(points.sample)(B.size)), target="for").next_batch(N)

    assert [(2,)] * N == [at.shape for at in seen]
    near = [bool(((5 <= at) & (at <= 7)).all()) for at in seen]
    assert 5 < sum(near) < N
    assert all(((at >= 0) & (at < 1)).all() for at, is_near in zip(seen, near, strict=True) if not is_near)


# Images


@pytest.fixture
def photos(tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    for i in range(4):
        pillow.fromarray(np.full((12, 16, 3), 60 * i, dtype="uint8")).save(tmp_path / f"photo_{i}.png")
    return FilesIndex(path=f"{tmp_path}/*.png", no_ext=True)


def test_images_are_loaded_and_augmented(photos):
    """``load``, ``rotate`` and ``scale`` of ImagesBatch, with random angles and factors for each item."""
    pipeline = (
        Pipeline()
        .load(fmt="image", dst="images")
        .rotate(angle=P(R("uniform", -30, 30)), p=0.8)
        .scale(factor=P(R("uniform", 0.8, 1.2)))
        .resize(size=(8, 8))
        .to_array(channels="first")
    ) << Dataset(photos, batchup.flow.ImagesBatch)

    batch = pipeline.next_batch(4, shuffle=1)

    assert (4, 3, 8, 8) == batch.images.shape
    assert np.float32 == batch.images.dtype
    assert [0.0, 60.0, 120.0, 180.0] == sorted(batch.images[:, :, 4, 4].mean(axis=1).round().tolist())
