"""Kill a training run twice, resume it on other pools, and end with the very same weights.

Trains twice. The first run goes through undisturbed. The second one prepares its batches in threads, and is killed
(SIGKILL) at a step drawn at random; goes on from its checkpoint with worker processes, and is killed again; and ends
without a pool. The order of the samples and the noise on them are functions of the seed and the place in the run, so
both runs learn from the same batches, and their weights are equal to the last bit. To run it::

    pip install 'batchup[examples]'
    python resume.py

It takes some seconds. Where it is killed is another place each time; that the weights are equal stays.
"""

import argparse
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

from batchup import ArrayDataSource, Loader

SEED = 12345
BATCH_SIZE = 64
SAVE_EVERY = 7  # steps
LIMIT = 120  # seconds that one step may take

processes = multiprocessing.get_context("spawn")


def blotted(images, labels, rng):
    """The digits with noise on them."""
    return images + rng.normal(0, 0.1, images.shape), labels


class Classifier:
    """Logistic regression, trained by gradient descent with momentum."""

    def __init__(self):
        self.weights, self.velocity = np.zeros((65, 10)), np.zeros((65, 10))

    def probabilities(self, images):
        scores = images @ self.weights[:-1] + self.weights[-1]
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        return p / p.sum(axis=1, keepdims=True)

    def step(self, images, labels):
        error = (self.probabilities(images) - np.eye(10)[labels]) / len(labels)
        self.velocity = 0.9 * self.velocity - 0.1 * np.vstack([images.T @ error, error.sum(axis=0)])
        self.weights = self.weights + self.velocity


def save(path, model, loader):
    """Write all that the run depends on into one file, so that whenever it ends, the parts belong together."""
    with open(f"{path}.new", "wb") as file:
        np.savez(file, weights=model.weights, velocity=model.velocity, loader=json.dumps(loader.state_dict()))
    os.replace(f"{path}.new", path)


def load(path, model, loader):
    with np.load(path) as saved:
        model.weights, model.velocity = saved["weights"], saved["velocity"]
        loader.load_state_dict(json.loads(str(saved["loader"])))


def digits():
    images, labels = load_digits(return_X_y=True)
    test, train = np.split(np.random.RandomState(SEED).permutation(len(images)), [450])
    return images / 16, labels, train, test


def train(path, pool, epochs, steps):
    """Train from the checkpoint on, if there is one. `steps` is told each step, from the first one here."""
    images, labels, samples, _ = digits()
    source = ArrayDataSource([images, labels], indices=samples).random_map(blotted)
    model = Classifier()
    with threadpool_limits(1), Loader(source, BATCH_SIZE, shuffle=SEED, pool=pool) as loader:
        if path.exists():
            load(path, model, loader)
        steps.send((loader.epoch, loader.step))
        while loader.epoch < epochs:
            for batch in loader:
                model.step(*batch)
                if loader.step % SAVE_EVERY == 0:
                    save(path, model, loader)
                steps.send((loader.epoch, loader.step))
        save(path, model, loader)


def run(path, pool, epochs, kill_after=None):
    """Train in a process of its own, which is killed after so many steps, and print how that went."""
    receiver, sender = processes.Pipe(duplex=False)
    trainer = processes.Process(target=train, args=(path, pool, epochs, sender))
    trainer.start()
    sender.close()  # the pipe ends when the trainer does
    places = []
    try:
        while receiver.poll(LIMIT):
            places.append(receiver.recv())
            if len(places) - 1 == kill_after:
                trainer.kill()
    except EOFError:
        trainer.join(LIMIT)
    finally:
        trainer.kill()
    if trainer.exitcode not in (0, -signal.SIGKILL):
        sys.exit(f"the trainer ended with {trainer.exitcode}")
    (epoch, step), (last_epoch, last_step) = places[0], places[-1]
    how = "finished with" if trainer.exitcode == 0 else "killed after"
    print(f"  pool={pool!r:11}  from epoch {epoch}, step {step} on; {how} epoch {last_epoch}, step {last_step}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20)
    epochs = parser.parse_args().epochs

    with tempfile.TemporaryDirectory() as folder:
        unbroken, broken = Path(folder, "unbroken.npz"), Path(folder, "broken.npz")
        print("one run without a break:")
        run(unbroken, None, epochs)
        print("one that is killed twice:")
        half = epochs * 22 // 2  # of the steps that there are
        run(broken, "threads", epochs, kill_after=random.randrange(1, half))
        run(broken, "processes", epochs, kill_after=random.randrange(1, half))
        run(broken, None, epochs)
        one, other = (dict(np.load(path)) for path in [unbroken, broken])

    images, labels, _, test = digits()
    model = Classifier()
    model.weights = other["weights"]
    right = model.probabilities(images[test]).argmax(axis=1) == labels[test]
    print(f"right on held-out digits: {right.mean():.2%}")
    same = all(one[name].tobytes() == other[name].tobytes() for name in ["weights", "velocity"])
    print(f"the weights of both are equal, bit for bit: {same}")
    sys.exit(not same)


if __name__ == "__main__":
    main()
