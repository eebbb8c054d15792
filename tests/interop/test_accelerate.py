"""What `prepare` refuses. What it gives is tested with two ranks, in test_ranks.py, and killed, in test_killed.py."""

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from torch.utils.data import TensorDataset  # noqa: E402
from torch.utils.data.distributed import DistributedSampler  # noqa: E402

from batchup.interop.accelerate import prepare  # noqa: E402
from batchup.interop.torch import DataLoader  # noqa: E402

DATASET = TensorDataset(torch.arange(10))
RANKS = SimpleNamespace(num_processes=2)


@pytest.mark.parametrize("kind", ["sampler", "batch_sampler"])
def test_two_that_share_the_samples_out(kind):
    """A DistributedSampler and Accelerate would each take a part of a part."""
    sampler = DistributedSampler(DATASET, 2, 0)
    batches = torch.utils.data.BatchSampler(sampler, 2, drop_last=False)
    loader = (
        DataLoader(DATASET, 2, sampler=sampler) if kind == "sampler" else DataLoader(DATASET, batch_sampler=batches)
    )

    with pytest.raises(
        ValueError, match="divided among the ranks twice: by the DistributedSampler of the loader, and by Accelerate"
    ):
        prepare(RANKS, loader)


def test_a_loader_of_others():
    """It takes batchup's loader; for others there is Accelerate's own function."""
    with pytest.raises(TypeError, match=r"should be a batchup\.interop\.torch\.DataLoader, not a DataLoader"):
        prepare(RANKS, torch.utils.data.DataLoader(DATASET))
