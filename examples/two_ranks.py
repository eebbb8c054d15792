"""Train one classifier by two processes that share each epoch out between them.

Both trainers draw the same plan of an epoch, and each takes every second batch of it (``shard=(rank, 2)``). After each
batch they tell each other their gradients, through a pipe, and both make the step that the two batches together call
for. The number of samples divides neither by the batch size nor by two: ``last="pad"`` and ``remainder="pad"`` fill up
what is missing, and the field ``valid`` says which samples count. To run it::

    pip install 'batchup[examples]'
    python two_trainers.py

It takes some seconds, and shows that the two together see each sample of an epoch once, that both end with the same
weights, and that these are the weights of one trainer with batches of twice the size.
"""

import argparse
import multiprocessing
import sys

import numpy as np
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

from batchup import ArrayDataSource, Loader

SEED = 12345
BATCH_SIZE = 32
WORLD = 2
RATE = 0.5
LIMIT = 120  # seconds to wait for the other process

processes = multiprocessing.get_context("spawn")


def probabilities(weights, images):
    scores = images @ weights[:-1] + weights[-1]
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def gradient(weights, images, labels, valid):
    """The gradient of the cross-entropy, summed over the samples that are valid."""
    error = (probabilities(weights, images) - np.eye(10)[labels]) * valid[:, None]
    return np.vstack([images.T @ error, error.sum(axis=0)])


def digits():
    images, labels = load_digits(return_X_y=True)
    test, train = np.split(np.random.RandomState(SEED).permutation(len(images)), [450])
    return images / 16, labels, train, test


def trained(batch_size, epochs, shard=None, summed=lambda *parts: parts):
    """The weights after so many epochs, and the indices of the samples that each epoch had here.

    `summed` is given the gradient and the number of samples, and returns their sums over all trainers.
    """
    images, labels, train, _ = digits()
    source = ArrayDataSource([images, labels], indices=train, include_indices=True)
    weights, seen = np.zeros((65, 10)), []
    with Loader(source, batch_size, shuffle=SEED, last="pad", shard=shard, remainder="pad", pool="threads") as loader:
        for _ in range(epochs):
            seen.append([])
            for indices, X, y, valid in loader:
                total, n = summed(gradient(weights, X, y, valid), valid.sum())
                weights -= RATE * total / n
                seen[-1].extend(indices[valid].tolist())
    return weights, seen


def trainer(rank, epochs, other, parent):
    """What one of the processes does: `other` is its pipe to the other trainer, `parent` that to the main program."""

    def summed(*mine):
        if rank == 0:  # one speaks while the other listens, so that they never wait for each other to listen
            other.send(mine)
            theirs = received(other)
        else:
            theirs = received(other)
            other.send(mine)
        return [a + b for a, b in zip(mine, theirs, strict=True)]

    with threadpool_limits(1):
        parent.send(trained(BATCH_SIZE, epochs, (rank, WORLD), summed))


def received(pipe):
    if not pipe.poll(LIMIT):
        raise TimeoutError(f"the other process said nothing for {LIMIT} s")
    return pipe.recv()


def both(epochs):
    """What the two trainers come back with."""
    between, started = processes.Pipe(), []
    for rank in range(WORLD):
        mine, theirs = processes.Pipe()
        each = processes.Process(target=trainer, args=(rank, epochs, between[rank], theirs))
        each.start()
        theirs.close()
        started.append((each, mine))
    for end in between:
        end.close()  # a trainer that fails closes the last one, and the other hears it
    try:
        return [received(mine) for _, mine in started]
    finally:
        for each, _ in started:
            each.join(LIMIT)
            each.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20)
    epochs = parser.parse_args().epochs

    (weights, seen), (other_weights, other_seen) = both(epochs)
    single, _ = trained(WORLD * BATCH_SIZE, epochs)

    images, labels, train, test = digits()
    print(f"of {len(train)} samples, rank 0 has {len(seen[0])} in the first epoch, rank 1 has {len(other_seen[0])}")
    whole = all(sorted(a + b) == sorted(train) for a, b in zip(seen, other_seen, strict=True))
    print(f"in each of {epochs} epochs, both together see every sample once: {whole}")
    same = weights.tobytes() == other_weights.tobytes()
    print(f"both end with the same weights, bit for bit: {same}")
    off = abs(weights - single).max()
    print(f"one trainer with batches of {WORLD * BATCH_SIZE} ends with weights that differ by {off:.1e} at most")
    right = probabilities(weights, images[test]).argmax(axis=1) == labels[test]
    print(f"right on held-out digits: {right.mean():.2%}")
    sys.exit(not (whole and same and off < 1e-9))


if __name__ == "__main__":
    with threadpool_limits(1):  # more gain nothing on small matrices
        main()
