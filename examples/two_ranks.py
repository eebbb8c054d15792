"""Train one classifier in two processes (ranks) that share each epoch.

Both ranks compute the same order of an epoch, and each takes every second batch of it (``shard=(rank, 2)``). After each
batch, they exchange their gradients through a pipe, and both make the same step with the mean gradient. The samples do
not fill the last batch, and there is an odd number of batches. So ``last="pad"`` and ``remainder="pad"`` fill up the
rest, and the field ``valid`` says which samples count. To run it::

    pip install 'batchup[examples]'
    python two_ranks.py

It takes some seconds. It shows that both ranks together see each sample of an epoch once, that both end with the same
weights, and that these are the weights of a single process with batches of twice the size.
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
LIMIT = 120  # maximum seconds to wait for the other process

processes = multiprocessing.get_context("spawn")


def probabilities(weights, images):
    scores = images @ weights[:-1] + weights[-1]
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def gradient(weights, images, labels, valid):
    """Return the gradient of the cross-entropy, summed over the valid samples."""
    error = (probabilities(weights, images) - np.eye(10)[labels]) * valid[:, None]
    return np.vstack([images.T @ error, error.sum(axis=0)])


def digits():
    images, labels = load_digits(return_X_y=True)
    test, train = np.split(np.random.RandomState(SEED).permutation(len(images)), [450])
    return images / 16, labels, train, test


def trained(batch_size, epochs, shard=None, summed=lambda *parts: parts):
    """Return the weights after training, and the indices of the samples that this rank had in each epoch.

    `summed` takes the gradient and the number of samples, and returns their sums over all ranks.
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


def run_rank(rank, epochs, other, parent):
    """Run one rank: `other` is its pipe to the other rank, `parent` the pipe to the main program."""

    def summed(*mine):
        if rank == 0:  # one sends while the other receives, so that they never block each other
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
        raise TimeoutError(f"the other process sent nothing for {LIMIT} s")
    return pipe.recv()


def both(epochs):
    """Return the results of both ranks."""
    between, started = processes.Pipe(), []
    for rank in range(WORLD):
        mine, theirs = processes.Pipe()
        each = processes.Process(target=run_rank, args=(rank, epochs, between[rank], theirs))
        each.start()
        theirs.close()
        started.append((each, mine))
    for end in between:
        end.close()  # so that the pipe breaks if the other rank fails
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
    print(f"in each of {epochs} epochs, both ranks together see every sample once: {whole}")
    same = weights.tobytes() == other_weights.tobytes()
    print(f"both ranks end with the same weights, bit for bit: {same}")
    off = abs(weights - single).max()
    print(f"a single process with batches of {WORLD * BATCH_SIZE} ends with weights that differ by at most {off:.1e}")
    right = probabilities(weights, images[test]).argmax(axis=1) == labels[test]
    print(f"accuracy on held-out digits: {right.mean():.2%}")
    sys.exit(not (whole and same and off < 1e-9))


if __name__ == "__main__":
    with threadpool_limits(1):  # more threads do not help with small matrices
        main()
