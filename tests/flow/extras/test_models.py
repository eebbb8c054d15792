"""Models: built at first use, trained in order, shared if declared so."""

import pickle

import numpy as np
import pytest

from batchup.flow import B, Batch, C, Dataset, Pipeline, SklearnModel, TorchModel, V, action, as_model
from batchup.flow.extras.models import build_model

RNG = np.random.default_rng(0)

X = RNG.normal(size=(200, 3)).astype("f4")

Y = (X.sum(1) > 0).astype(int)


class Points(Batch):
    components = "x", "y"

    @action
    def train_my_model(self, name):
        self.get_model_by_name(name).train(self.x, self.y)
        return self


class Counting:
    """A model that counts its training items."""

    def __init__(self, config=None):
        self.config = config
        self.trained = 0

    def train(self, x, y=None):
        self.trained += len(x)
        return self.trained

    def predict(self, x):
        return x[:, 0] * 0 + self.trained

    def save(self, path):
        path.write_text(str(self.trained))

    def load(self, path):
        self.trained = int(path.read_text())


def points():
    return Dataset(200, Points, preloaded=(X, Y))


@pytest.mark.parametrize("also", [{"config": {"a": 1}}, {"model_class": Counting}])
def test_a_model_has_one_origin(also):
    """A source together with a class or a config is an error."""
    with pytest.raises(ValueError, match="'m' should have a source or a model_class with its config, not both"):
        Pipeline().init_model("m", source=Counting(), **also)
    with pytest.raises(ValueError, match="not both"):
        Pipeline().load_model("m", source=Counting(), path="m.txt", **also)


def test_a_model_is_trained_and_predicts():
    """Each step writes the result of the model to `save_to`."""
    pipeline = (
        points().p.init_model("m", Counting).init_variable("seen", [])
        .train_model("m", B.x, B.y, save_to=V("seen", mode="a")).predict_model("m", B.x, save_to=B.guess)
    )  # fmt: skip

    batches = list(pipeline.gen_batch(80, n_epochs=1))

    assert [80, 160, 200] == pipeline.v("seen") == [batch.guess[0] for batch in batches]
    assert 200 == pipeline.m("m").trained


def test_a_dynamic_model_is_built_with_the_first_batch():
    """A dynamic model is built at the first batch, by each pipeline for itself."""
    template = Pipeline().init_model("m", Counting, config={"inputs": B.x.shape[1:], "n": C("n")}).train_model("m", B.x)
    one, two = template << points() << {"n": 1}, template << points() << {"n": 2}

    one.run(50)
    two.run(50, n_iters=1)

    assert ({"inputs": (3,), "n": 1}, 200) == (one.m("m").config, one.m("m").trained)
    assert ({"inputs": (3,), "n": 2}, 50) == (two.m("m").config, two.m("m").trained)


def test_a_static_model_is_built_at_once():
    """A static model is built once for all pipelines of a template."""
    template = Pipeline().init_model("m", Counting, "static").train_model("m", B.x)
    one, two = template << points(), template << points()

    one.run(50)

    assert one.m("m") is two.m("m")
    assert 200 == two.m("m").trained
    with pytest.raises(ValueError, match="mode should be"):
        Pipeline().init_model("m", Counting, "lazy")


def test_a_source_is_copied_unless_it_is_static():
    """A dynamic source is copied for each pipeline; an imported model is shared."""
    source = Counting()
    template = Pipeline().train_model("m", B.x) << points()

    (Pipeline().init_model("m", source=source) + template).run(50)
    assert 0 == source.trained
    (Pipeline().init_model("m", mode="static", source=source) + template).run(50)
    assert 200 == source.trained
    (Pipeline().import_model("m", source) + template).run(50)
    assert 400 == source.trained


@pytest.mark.parametrize("take", ["import_model", "init_model"])
def test_a_model_of_another_pipeline(take):
    """An imported model is the same object."""
    trained = (points().p.init_model("m", Counting).train_model("m", B.x)).run(50)
    source = {"source": trained} if take == "init_model" else trained
    test = points().p
    test = test.init_model("m", **source) if take == "init_model" else test.import_model("m", source)

    assert trained.m("m") is test.m("m")
    assert 200 == test.predict_model("m", B.x, save_to=B.guess).next_batch(5).guess[0]


def test_a_model_that_is_not_there():
    """The error lists the models."""
    with pytest.raises(KeyError, match="there is no model 'n'; there are 'm'"):
        points().p.init_model("m", Counting).train_model("n", B.x).run(50)


def test_a_model_in_an_action():
    """An action gets the model by name; outside of a pipeline there is none."""
    pipeline = points().p.init_model("m", Counting).train_my_model("m").run(50)

    assert 200 == pipeline.m("m").trained
    with pytest.raises(ValueError, match="should be in a pipeline"):
        Points(1).get_model_by_name("m")


def test_models_are_forgotten():
    """`reset` forgets models; without it they go on training."""
    pipeline = points().p.init_model("m", Counting).train_model("m", B.x)

    assert [200, 400] == [pipeline.run(50).m("m").trained for _ in range(2)]
    assert 200 == pipeline.run(50, reset="models").m("m").trained
    assert 0 == pipeline.reset("models").m("m").trained


def test_models_are_saved_and_loaded(tmp_path):
    """Models are saved after the run or at once, and loaded at first use."""
    path = tmp_path / "model"
    pipeline = points().p.init_model("m", Counting).train_model("m", B.x).after.save_model("m", path).main

    pipeline.run(50)
    assert 200 == points().p.load_model("m", Counting, path=path).m("m").trained
    pipeline.reset("models").m("m").save(path)
    assert "0" == path.read_text()


@pytest.mark.parametrize("obj", [5, "model", Counting])
def test_what_is_no_model(obj):
    """The error says what a model should have."""
    with pytest.raises(TypeError, match="a model should have train"):
        as_model(obj if obj is not Counting else object())
    with pytest.raises(TypeError, match="needs a model_class"):
        build_model(None, {})


def test_an_estimator_of_scikit_learn(tmp_path):
    """An estimator trains with ``partial_fit`` or ``fit``; `fetches` names a method; it is saved and loaded."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    pipeline = (
        points().p.init_model("clf", linear_model.SGDClassifier, config={"loss": "log_loss", "random_state": 0})
        .train_model("clf", B.x, B.y, classes=[0, 1])
        .predict_model("clf", B.x, fetches="predict_proba", save_to=B.chance)
    )  # fmt: skip

    batch = list(pipeline.gen_batch(50, n_epochs=10))[-1]
    model = pipeline.m("clf")
    model.save(tmp_path / "clf")
    again = SklearnModel(linear_model.SGDClassifier())
    again.load(tmp_path / "clf")

    assert (50, 2) == batch.chance.shape
    assert 0.9 < np.mean(model.predict(X) == Y)
    assert (model.coef_ == again.coef_).all()
    assert (model.predict(X) == pickle.loads(pickle.dumps(model)).predict(X)).all()
    whole = points().p.init_model("lr", source=linear_model.LogisticRegression()).train_model("lr", B.x, B.y).run(200)
    assert 0.9 < np.mean(whole.m("lr").predict(X) == Y)


@pytest.mark.timeout(120)
def test_a_module_of_torch(tmp_path):
    """A module trains with the optimizer and the loss of its config; it is saved and loaded."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    config = {
        "module": torch.nn.Linear,
        "module_options": {"in_features": B.x.shape[1], "out_features": 2},
        "optimizer": "SGD",
        "optimizer_options": {"lr": C("lr")},
    }
    pipeline = (
        points().pipeline({"lr": 0.5}).init_model("net", config=config).init_variable("losses", [])
        .train_model("net", B.x, B.y, save_to=V("losses", mode="a"))
    )  # fmt: skip

    pipeline.run(50, shuffle=1, n_epochs=10)
    model = pipeline.m("net")
    model.save(tmp_path / "net")
    again = TorchModel({"module": torch.nn.Linear(3, 2)})
    again.load(tmp_path / "net")

    assert pipeline.v("losses")[-1] < pipeline.v("losses")[0]
    assert 0.9 < np.mean(model.predict(X).argmax(1) == Y)
    assert (model.predict(X) == again.predict(X)).all()
    with pytest.raises(TypeError, match="takes module, loss, optimizer and device, not los"):
        TorchModel({"module": torch.nn.Linear(3, 2), "los": "mse_loss"})


def test_a_torch_module_as_source():
    """A torch module becomes a model; a class of modules is called with its options."""
    torch = pytest.importorskip("torch")

    model = as_model(torch.nn.Linear(3, 2))

    assert isinstance(model, TorchModel)
    assert (4, 2) == model.predict(X[:4]).shape
    assert (4, 2) == build_model(torch.nn.Linear, {"module_options": {"in_features": 3, "out_features": 2}}).predict(
        X[:4]
    ).shape


def test_without_torch(monkeypatch):
    """The error says what to install."""
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)

    with pytest.raises(ImportError, match="pip install torch"):
        TorchModel({"module": None})
