"""The run of PyTorch's loader with our workers: where it is, and what it keeps between two epochs."""

import gc
import itertools
import weakref

import pytest

torch = pytest.importorskip("torch")

from batchup.interop.torch import DataLoader  # noqa: E402
from batchup.interop.torch.epochs import Epochs  # noqa: E402

pytestmark = pytest.mark.timeout(120)


class Squares(torch.utils.data.Dataset):
    def __len__(self):
        return 5

    def __getitem__(self, index):
        return index**2


def test_a_loop_is_over_the_next_epoch():
    """A loop that was left after its first batch has begun its epoch, so the next loop is over the one after it."""
    loader = DataLoader(Squares(), batch_size=2)
    epochs = Epochs(loader)
    places = []
    for n in (3, 1, 3):
        for _ in zip(range(n), epochs.begin(), strict=False):
            places.append((epochs.run.epoch, epochs.run.step))

    assert [(0, 1), (0, 2), (0, 3), (1, 1), (2, 1), (2, 2), (2, 3)] == places


def test_workers_stay_for_the_next_epoch():
    """They end with `close`; the next epoch begins new ones, and gives the same."""
    loader = DataLoader(Squares(), batch_size=2, num_workers=1)
    epochs = Epochs(loader)
    try:
        first = [batch.tolist() for batch in epochs.begin()]
        pools = list(epochs.pools)
        second = [batch.tolist() for batch in epochs.begin()]

        assert pools == epochs.pools
        epochs.close()
        assert [] == epochs.pools
        assert [[0, 1], [4, 9], [16]] == first == second == [batch.tolist() for batch in epochs.begin()]
    finally:
        epochs.close()


def test_the_run_does_not_keep_its_loader():
    """Otherwise the workers of a loader that nobody has any more would stay."""
    loader = DataLoader(Squares(), batch_size=2)
    gone = weakref.ref(loader)
    del loader
    gc.collect()

    assert gone() is None


def test_a_loop_knows_how_many_batches_are_left():
    """Also after a state was loaded; not where the sampler has no length."""
    loader = DataLoader(Squares(), batch_size=2)
    loop = iter(loader)
    before, _, after = len(loop), next(loop), len(loop)
    loader.load_state_dict(loader.state_dict())
    endless = iter(DataLoader(Squares(), batch_sampler=iter([[0, 1], [2]])))

    assert (3, 2, 2) == (before, after, len(iter(loader)))
    with pytest.raises(TypeError, match="this loop has no len"):
        len(endless)


@pytest.mark.parametrize("step", [0, 3, 4], ids=["between", "within", "at the end"])
@pytest.mark.parametrize("distributed", [False, True])
def test_a_loop_that_begins_twice_is_the_same(distributed, step):
    """After a state was loaded, until its first batch; some trainers call `iter` twice."""

    def made():
        data, utils = torch.arange(16), torch.utils.data
        order = {"sampler": utils.DistributedSampler(data, 1, 0)} if distributed else {"shuffle": True}
        return DataLoader(data, 4, generator=torch.Generator().manual_seed(3), **order)

    loader = made()
    loops = [list(loader), list(itertools.islice(loader, step))]
    state = loader.state_dict()
    expected = [x.tolist() for _ in range(2) for x in loader.resume()]

    resumed = made()
    resumed.load_state_dict(state)
    iter(resumed)
    iter(resumed)

    assert len(loops[1]) == step
    assert state == resumed.state_dict()
    assert expected == [x.tolist() for _ in range(2) for x in resumed]
