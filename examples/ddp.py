"""Train on handwritten digits with PyTorch's DistributedDataParallel, in two processes on the CPU.

Shows ``shard="auto"``: the loader of each rank gets its rank from PyTorch, and takes its share of each epoch.
``to_torch`` gives the batches as tensors. To run it::

    pip install batchup torch scikit-learn tqdm
    torchrun --standalone --nproc-per-node 2 ddp.py

It prints the accuracy on digits that were not trained on. Without ``torchrun``, it trains in one process.
"""

import argparse
import os
import sys

import numpy as np
import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from torch import nn
from tqdm import tqdm

from batchup import ArrayDataSource, Loader


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=10)
    epochs = parser.parse_args().epochs

    if "RANK" in os.environ:
        dist.init_process_group("gloo")
    rank = dist.get_rank() if dist.is_initialized() else 0
    torch.manual_seed(0)
    torch.set_num_threads(1)
    digits = load_digits()
    images, labels = (digits.data / 16).astype(np.float32), digits.target
    train, test = np.split(np.random.RandomState(0).permutation(len(labels)), [1500])

    source = ArrayDataSource([images, labels], indices=train)
    loader = Loader(source, 32, shuffle=7, shard="auto", remainder="pad")
    print(loader)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    trained = nn.parallel.DistributedDataParallel(model) if dist.is_initialized() else model
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    with loader.to_torch() as batches:
        for epoch in range(epochs):
            for X, y in tqdm(batches, desc=f"epoch {epoch}", file=sys.stdout, disable=rank > 0):
                optimizer.zero_grad()
                nn.functional.cross_entropy(trained(X), y).backward()
                optimizer.step()

    right = model(torch.from_numpy(images[test])).argmax(1).numpy() == labels[test]
    if rank == 0:
        print(f"accuracy on held-out digits: {right.mean():.2%}")
    if dist.is_initialized():
        del trained  # before the group that it uses, or the program may hang
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
