"""Training runs that are killed or interrupted, and go on from where they were."""

import os
import random
import signal

import pytest
from programs import quiet, run, started

pytestmark = pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX")

POOLS = ["None", "'threads'", "'processes'", "1", "WorkerProcessPool(2)"]

TRAINING = """
import hashlib, json
from batchup import ChoiceDataSource, CompositeDataSource, Loader


def noisy(x, y, rng):
    return x + rng.normal(size=x.shape), y


def cropped(x, y, rng):
    return x * (rng.random(x.shape) < 0.9), y


def saved(state, weights):
    "Whole or not at all, whenever the program is killed."
    (here / "new").write_text(json.dumps([state, weights.tolist()]))
    os.replace(here / "new", here / "saved")


def trained(pool, most=None, epochs=6):
    "Logistic regression on noisy samples; what it has learnt depends on every bit of every batch, and on their order."
    draw = np.random.RandomState(0)
    X, y = draw.normal(size=(101, 5)), draw.randint(2, size=101)
    source = ArrayDataSource([X, y]).random_map(noisy).map(lambda x, y: (np.tanh(x), y)).random_map(cropped)
    weights, steps = np.zeros(5), 0
    with Loader(source, 8, shuffle=11, pool=pool) as loader:
        if (here / "saved").exists():
            state, weights = json.loads((here / "saved").read_text())
            weights = np.array(weights)
            loader.load_state_dict(state)
        while loader.epoch < epochs:
            for x, y in loader:
                weights -= 0.1 * (1 / (1 + np.exp(-(x @ weights))) - y) @ x
                saved(loader.state_dict(), weights)
                print("step", flush=True)
                steps += 1
                if steps == most:
                    threading.Event().wait()  # to be killed
    return hashlib.sha256(weights.tobytes()).hexdigest()
"""


@pytest.mark.parametrize("pools", [POOLS, POOLS[::-1]], ids=["to processes", "to none"])
def test_a_killed_run_ends_as_if_it_had_not_been(tmp_path, pools):
    """Killed four times, anywhere, and resumed on another pool each time: the weights are the same to the last bit."""
    whole = tmp_path / "whole"
    whole.mkdir()
    unbroken = run(TRAINING + "print(trained(None))", whole)
    assert (0, "") == (unbroken.returncode, unbroken.stderr)

    for pool in pools[:-1]:
        steps = random.randint(1, 12)
        with started(TRAINING + f"trained({pool}, {steps + random.randint(0, 3)})", tmp_path) as program:
            assert ["step"] * steps == [program.line() for _ in range(steps)]
            os.kill(program.pid, signal.SIGKILL)
            ended = program.ended()
        assert (-signal.SIGKILL, "", 0) == (ended.returncode, ended.stderr, ended.left)

    ended = run(TRAINING + f"print(trained({pools[-1]}))", tmp_path)

    assert (0, "", 0) == (ended.returncode, ended.stderr, ended.left)
    assert unbroken.stdout.split()[-1] == ended.stdout.split()[-1]
    assert 6 * 13 == unbroken.stdout.count("step") > ended.stdout.count("step") > 0


@pytest.mark.parametrize("pool", ["None", "'threads'", "'processes'", "WorkerProcessPool(1)"])
def test_a_run_that_is_interrupted_goes_on(tmp_path, pool):
    """Ctrl-C in the fetch, three times: the loop goes on with that batch, and so does a run from the state it had."""
    body = f"""
import json
from batchup import Loader

def gated(x):
    if x[0, 0] == 200:
        wait_until((here / "open").exists)
    return (x,)

def made(pool):
    return Loader(ArrayDataSource([X]).map(gated), 10, pool=pool, depth=4)

with made({pool}) as loader, made(None) as other:
    loop = iter(loader)
    found = [next(loop)[0].tolist() for _ in range(5)]
    caught = 0
    while caught < 3:
        try:
            os.write(1, b"asking\\n")
            next(loop)
        except KeyboardInterrupt:
            caught += 1
    state = json.loads(json.dumps(loader.state_dict()))
    note("open")
    other.load_state_dict(state)
    expected = batches_of(ArrayDataSource([X]))
    rest = [x.tolist() for x, in loop]
    print(state["epoch"], state["step"], found + rest == expected, [x.tolist() for x, in other] == rest)
    print(loader.epoch, loader.step, [x.tolist() for x, in loader] == expected)
"""
    with started(body, tmp_path) as program:
        for _ in range(3):
            assert "asking" == program.line()
            program.settle()
            os.kill(program.pid, signal.SIGINT)
        ended = program.ended()

    assert quiet("0 5 True True\n1 0 True\n") == ended
