"""Kill a training run twice, resume it with other pools, and end with the same weights.

Trains twice. The first run is not interrupted. The second run prefetches its batches in threads and is killed (SIGKILL)
at a random step. It resumes from its checkpoint with worker processes, and is killed again. It resumes without a pool
and finishes. The order of the samples and their augmentation depend only on the seed and the position in the run. So
both runs train on the same batches, and their weights are equal to the last bit. To run it::

    pip install 'batchup[examples]'
    python resume.py

It takes some seconds. It is killed at other steps each time you run it; the weights are always equal.
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
LIMIT = 120  # maximum seconds for one step

processes = multiprocessing.get_context("spawn")


def add_noise(images, labels, rng):
    """Add noise to the digits."""
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
    """Write everything that the run needs to one file, and replace the old file when the new one is complete."""
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
    """Train, from the checkpoint if there is one. Send the position to `steps`, at the start and after each step."""
    images, labels, samples, _ = digits()
    source = ArrayDataSource([images, labels], indices=samples).random_map(add_noise)
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
    """Train in a new process, kill it after `kill_after` steps, and print what happened."""
    receiver, sender = processes.Pipe(duplex=False)
    process = processes.Process(target=train, args=(path, pool, epochs, sender))
    process.start()
    sender.close()  # so that the pipe ends when the training process ends
    places = []
    try:
        while receiver.poll(LIMIT):
            places.append(receiver.recv())
            if len(places) - 1 == kill_after:
                process.kill()
    except EOFError:
        process.join(LIMIT)
    finally:
        process.kill()
    if process.exitcode not in (0, -signal.SIGKILL):
        sys.exit(f"the training process ended with exit code {process.exitcode}")
    (epoch, step), (last_epoch, last_step) = places[0], places[-1]
    how = "finished at" if process.exitcode == 0 else "killed after"
    print(f"  pool={pool!r:11}  started at epoch {epoch}, step {step}; {how} epoch {last_epoch}, step {last_step}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20)
    epochs = parser.parse_args().epochs

    with tempfile.TemporaryDirectory() as folder:
        unbroken, broken = Path(folder, "unbroken.npz"), Path(folder, "broken.npz")
        print("an uninterrupted run:")
        run(unbroken, None, epochs)
        print("a run that is killed twice:")
        half = epochs * 22 // 2  # half of all steps
        run(broken, "threads", epochs, kill_after=random.randrange(1, half))
        run(broken, "processes", epochs, kill_after=random.randrange(1, half))
        run(broken, None, epochs)
        one, other = (dict(np.load(path)) for path in [unbroken, broken])

    images, labels, _, test = digits()
    model = Classifier()
    model.weights = other["weights"]
    right = model.probabilities(images[test]).argmax(axis=1) == labels[test]
    print(f"accuracy on held-out digits: {right.mean():.2%}")
    same = all(one[name].tobytes() == other[name].tobytes() for name in ["weights", "velocity"])
    print(f"the weights of both runs are equal, bit for bit: {same}")
    sys.exit(not same)


if __name__ == "__main__":
    main()
