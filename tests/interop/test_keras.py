"""The batches of a loader in Keras. Each backend has a program of its own, as a process has one backend."""

import importlib.util
import itertools
import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from launcher import HEAVY, begun

from batchup import ArrayDataSource, IteratorDataSource, Loader
from batchup.interop.keras import BatchesByNumber, to_keras

pytestmark = pytest.mark.timeout(120)

INSTALLED = [name for name in ("torch", "jax", "tensorflow") if importlib.util.find_spec(name)]
KERAS = pytest.mark.skipif(not importlib.util.find_spec("keras"), reason="needs Keras")

BEGINNING = """
    import keras, numpy as np
    from batchup import ArrayDataSource, Loader

    X = np.random.RandomState(1).rand(20, 3).astype("float32")
    y = (np.arange(20) % 2).astype("float32")[:, None]
    weights = np.linspace(0, 1, 20, dtype="float32")

    def model():
        keras.utils.set_random_seed(1)
        made = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, "sigmoid")])
        made.compile("sgd", "binary_crossentropy", weighted_metrics=["mae"])
        return made

    def agree(one, other):
        assert all(np.allclose(a, b, atol=1e-5) for a, b in zip(one, other, strict=True)), (one, other)
"""


# What each of the tests with Keras runs; its errors are those of the test.
PROGRAMS = {
    "test_fit": """
        def trained(*data, **kwargs):
            each = model()
            seen = each.fit(*data, epochs=2, shuffle=False, verbose=0, **kwargs)
            return [*each.get_weights(), *(seen.history[name] for name in sorted(seen.history))]

        def batches(*arrays, **kwargs):
            return Loader(list(arrays), 8, **kwargs).to_keras()

        agree(trained(X, y, batch_size=8), trained(batches(X, y, pool=2)))
        classes = {0: 0.2, 1: 3.0}
        agree(trained(X, y, batch_size=8, class_weight=classes), trained(batches(X, y), class_weight=classes))
        agree(trained(X, y, batch_size=8, sample_weight=weights), trained(batches(X, y, weights)))
        agree(
            trained(X, y, batch_size=8, validation_data=(X, y), validation_batch_size=8),
            trained(batches(X, y), validation_data=batches(X, y)),
        )
    """,
    "test_evaluate_and_predict": """
        each = model()
        loader = Loader([X, y], 8)
        data = loader.to_keras()
        assert isinstance(data, keras.utils.PyDataset) and len(data) == 3
        agree(each.evaluate(X, y, batch_size=8, verbose=0), each.evaluate(data, verbose=0))
        agree([each.predict(X, verbose=0)], [each.predict(Loader([X], 8).to_keras(), verbose=0)])
        padded = Loader([X, y], 8, last="pad").to_keras()  # the field `valid` is the weight of the samples
        agree(each.evaluate(X, y, batch_size=8, verbose=0)[1:], each.evaluate(padded, verbose=0)[1:])

        a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
        both = keras.Model({"a": a, "b": b}, keras.layers.Dense(1)(keras.layers.add([a, b])))
        both.compile("sgd", "mse")
        named = ArrayDataSource([X, X, y]).map(lambda a, b, y: ({"a": a, "b": b}, y))
        agree(
            [both.evaluate({"a": X, "b": X}, y, batch_size=8, verbose=0)],
            [both.evaluate(Loader(named, 8).to_keras(), verbose=0)],
        )
    """,
    "test_fit_with_the_defaults": """
        seen = []

        def noted(x, y, i):
            seen.extend(i.tolist())
            return x, y

        loader = Loader(ArrayDataSource([X, y, np.arange(20)]).map(noted), 4, shuffle=7)
        model().fit(loader.to_keras(), epochs=3, verbose=0)
        orders = [i.tolist() for (i,) in Loader([np.arange(20)], 20, shuffle=7).steps(3)]
        assert sum(orders, []) == seen[-60:], seen  # before them, the batches that Keras looked at
        assert (3, 0) == (loader.epoch, loader.step)
    """,
}

RUN = """
    import json, sys, traceback

    if keras.backend.backend() == "jax":  # what was compiled for the arrays will do for the loader
        import jax

        jax.config.update("jax_compilation_cache_dir", sys.argv[2])
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)

    def error_of(program):
        try:
            exec(program, dict(globals()))
        except Exception:
            return traceback.format_exc()
        return ""

    print(json.dumps({name: error_of(program) for name, program in json.loads(sys.argv[1]).items()}))
"""


@pytest.fixture(scope="module", params=INSTALLED)
def errors(request, tmp_path_factory):
    """What went wrong in each of the programs with a backend; one process has imported it for all of them."""
    folder = tmp_path_factory.mktemp(request.param)
    code = textwrap.dedent(BEGINNING) + textwrap.dedent(RUN)
    programs = json.dumps({name: textwrap.dedent(program) for name, program in PROGRAMS.items()})
    around = {"KERAS_BACKEND": request.param, "XLA_FLAGS": "--xla_backend_optimization_level=0"}  # quick to compile
    done = begun(HEAVY, code, [programs, folder / "compiled"], folder=folder, **around)
    out, err = done.communicate(timeout=100)
    assert done.returncode == 0, err
    return json.loads(out.splitlines()[-1])


def firsts(batches):
    return [int(batch[0][0]) for batch in batches]


def made(n=10, **kwargs):
    """A loader over 5 batches, whose first samples are 0, 2, …, and what Keras gets of it."""
    loader = Loader([np.arange(n)], 2, **kwargs)
    return loader, BatchesByNumber(loader)


def epoch(batches, numbers):
    """What Keras does in an epoch."""
    batches.on_epoch_begin()
    got = firsts(batches[i] for i in numbers)
    batches.on_epoch_end()
    return got


def test_numbers_outside_an_epoch():
    """Between epochs, a number is that of the batch in the plan of the next epoch; nothing moves."""
    loader, batches = made(shuffle=7)

    assert firsts(made(shuffle=7)[0]) == firsts(batches[i] for i in range(5))
    assert firsts([batches[3]]) == firsts([loader.batch(0, 3)])
    assert (0, 0) == (loader.epoch, loader.step)


def test_numbers_of_an_epoch():
    """In whatever order Keras asks, the batches come in the order of the loader, and the state counts them."""
    loader, batches = made(shuffle=7)
    plain = made(shuffle=7)[0]
    orders = [range(5), [3, 0, 4, 2, 1], [4, 3, 2, 1, 0]]

    assert [firsts(plain) for _ in orders] == [epoch(batches, order) for order in orders]
    assert (3, 0) == (loader.epoch, loader.step)


def test_a_number_that_is_asked_for_again():
    """It gives the same batch again, and the others come as before."""
    batches = made()[1]

    assert [0, 2, 0, 4, 2, 6, 8] == epoch(batches, [4, 1, 4, 0, 1, 2, 3])
    assert 5 == len(batches)


def test_a_look_at_the_first_batch():
    """Keras builds a model with the first batch and begins anew: so does the epoch."""
    loader, batches = made()

    assert [0] == epoch(batches, [0])
    assert [0, 2, 4, 6, 8] == epoch(batches, range(5))
    assert (1, 0) == (loader.epoch, loader.step)


def test_a_look_before_a_shuffled_epoch():
    """With Keras's random order, too, the epoch begins with its first batch, and the state counts those after it."""
    loader, batches = made()
    epoch(batches, [3])
    batches.on_epoch_begin()

    assert [0] == firsts([batches[1]])
    assert 1 == loader.step
    assert [2, 4, 6, 8] == firsts(batches[i] for i in [2, 3, 0, 4])


def as_keras(batches, looks=0, parts=(5,)):
    """What ``fit`` of Keras 3 asks for: the number of batches when it begins, and with each new order of numbers."""
    assert batches.num_batches is not None
    if looks:
        batches.on_epoch_begin()
        firsts(batches[i] for i in ([4, 2, 0, 1, 3][:looks] if batches.num_batches else ()))
        assert batches.num_batches is not None
        batches.on_epoch_end()
    order, got = None, []
    for n in parts:
        batches.on_epoch_begin()
        order = order or iter(range(batches.num_batches))
        got.append(firsts(batches[i] for i in itertools.islice(order, n)))
        batches.on_epoch_end()
    return got


@pytest.mark.parametrize("looks", range(4))
def test_looks_of_keras(looks):
    """However many batches it looks at (one for each step per execution), they count from the first one on again."""
    loader, batches = made()

    assert [[0, 2, 4, 6, 8]] == as_keras(batches, looks)
    assert (1, 0) == (loader.epoch, loader.step)


@pytest.mark.parametrize("looks", range(2))
def test_one_step_per_epoch(looks):
    """Keras goes on with its numbers, so the loader goes on."""
    batches = made()[1]

    assert [[0], [2], [4, 6]] == as_keras(batches, looks, parts=(1, 1, 2))


def test_the_state_after_a_look():
    """It does not count the batch that Keras has only looked at."""
    loader, batches = made()
    as_keras(batches, looks=1, parts=())

    assert (0, 0) == (loader.epoch, loader.step)


def test_another_number_of_batches():
    """Each `fit` gets the number of batches of its epoch; in one over several, another number is refused."""
    loader = Loader([np.arange(20)], lambda epoch: [10, 5][epoch % 2])
    batches = BatchesByNumber(loader)

    assert [[0, 10]] == as_keras(batches)
    assert [[0, 5, 10, 15]] == as_keras(batches)
    assert [[0, 10]] == as_keras(batches)
    with pytest.raises(
        ValueError, match=r"epoch 3 should have 2 batches, .* not 4; .* call fit\(\) once for each epoch"
    ):
        batches.on_epoch_begin()


def test_a_batch_size_that_is_set():
    """The number of batches is that of the coming epoch."""
    loader, batches = made()
    counts = []
    for size in (5, 1, 3):
        epoch(batches, range(batches.num_batches))
        loader.set_batch_size(size)
        counts.append((len(batches), batches.num_batches))

    assert [(2, 2), (10, 10), (4, 4)] == counts


def test_steps_per_epoch():
    """Keras may take some steps of an epoch at a time: the loader goes on."""
    loader, batches = made()

    assert [[0, 2], [4, 6]] == [epoch(batches, [0, 1]), epoch(batches, [2, 3])]
    assert (0, 4) == (loader.epoch, loader.step)
    assert [8] == epoch(batches, [4])
    assert (1, 0) == (loader.epoch, loader.step)


def test_a_state_from_within_an_epoch():
    """The first epoch is the rest of the one that was interrupted; its length says so."""
    loader, batches = made(shuffle=7)
    epoch(batches, [0, 1])
    state = loader.state_dict()
    resumed, rest = made(shuffle=7)
    resumed.load_state_dict(state)
    plain = made(shuffle=7)[0]

    assert 3 == len(rest) == rest.num_batches
    assert firsts(plain)[2:] == epoch(rest, range(3))
    assert 5 == len(rest)
    assert firsts(plain) == epoch(rest, range(5))


def test_a_state_that_is_loaded_between_steps():
    """What was asked for before does not count any more."""
    loader, batches = made()
    state = loader.state_dict()
    epoch(batches, [0, 1])
    loader.load_state_dict(state)

    assert [0, 2, 4, 6, 8] == epoch(batches, range(5))


def test_an_infinite_source():
    """It has no length; Keras counts its steps."""
    loader = Loader(ArrayDataSource([np.arange(4)], repeats=-1), 2)
    batches = BatchesByNumber(loader)

    assert batches.num_batches is None
    assert [0] == epoch(batches, [0])
    assert [[0, 2, 0], [2, 0, 2]] == [epoch(batches, range(3)), epoch(batches, range(3, 6))]
    assert 6 == loader.step


@pytest.mark.parametrize("number", [5, -1, 1.5])
def test_numbers_that_are_none(number):
    """A number should be one of the batches."""
    with pytest.raises((IndexError, ValueError, TypeError), match="the number of a batch should be"):
        made()[1][number]


def test_a_batch_that_was_left_out():
    """Keras needs a batch for each number: where no sample is left, it is an error, and not another batch."""

    def broken(x):
        if 2 in x or 3 in x:
            raise OSError("broken")
        return (x,)

    batches = BatchesByNumber(Loader(ArrayDataSource([np.arange(6)]).map(broken), 2, on_error="skip"))
    with pytest.warns(UserWarning, match="left out"), pytest.raises(ValueError, match="batch 1 of epoch 0 should have"):
        epoch(batches, range(3))


def test_a_sequential_source_is_refused():
    """Its batches have no numbers. The error says what to do."""
    with pytest.raises(TypeError, match=r"IteratorDataSource gives its .* model\.fit\(iter\(loader\)"):
        to_keras(Loader(IteratorDataSource(iter([(np.arange(2),)])), 2))


def test_without_keras(monkeypatch):
    """The error names what to install."""
    from batchup.interop import keras

    keras._dataset_class.cache_clear()
    monkeypatch.setitem(sys.modules, "keras", None)

    with pytest.raises(ModuleNotFoundError, match="pip install keras"):
        made()[0].to_keras()


@KERAS
@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is not None, reason="TensorFlow is installed")
def test_a_backend_that_is_missing():
    """The error says how to choose another one."""
    program = """
        import numpy as np
        from batchup import Loader
        try:
            Loader([np.arange(3)], 2).to_keras()
        except ModuleNotFoundError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, "KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        text=True,
        timeout=100,
    )

    assert "set the environment variable KERAS_BACKEND" in done.stdout


@KERAS
def test_fit(errors):
    """`fit` trains as on the arrays, with weights of classes and of samples, and validates; in any pool."""
    assert "" == errors["test_fit"]


@KERAS
def test_evaluate_and_predict(errors):
    """They give what they give for the arrays, with inputs by name and padded batches, too."""
    assert "" == errors["test_evaluate_and_predict"]


@KERAS
def test_fit_with_the_defaults(errors):
    """`fit` shuffles the numbers by default: the batches come in our order all the same."""
    assert "" == errors["test_fit_with_the_defaults"]
