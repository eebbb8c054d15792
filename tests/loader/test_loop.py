"""Loops over a loader: where they begin, and how they end."""

from __future__ import annotations

import numpy as np
import pytest

from batchup import ArrayDataSource, IteratorDataSource, Loader
from batchup.errors import PoolClosedError


def arrays(n=10, **kwargs):
    return ArrayDataSource([np.arange(n)], **kwargs)


def epoch_of(loader):
    return [x.tolist() for (x,) in loader]


def test_a_loop_that_is_left_has_ended_its_epoch():
    """The next loop begins the next epoch."""
    loader, other = (Loader(arrays(), 3, shuffle=5) for _ in range(2))
    epoch_of(other)
    for _ in loader:
        break

    assert (epoch_of(other), 2) == (epoch_of(loader), loader.epoch)


def test_a_loop_that_gave_nothing_has_not_begun_its_epoch():
    """The next one is over the same epoch."""
    loader = Loader(arrays(), 3, shuffle=5)
    iter(loader)

    assert epoch_of(Loader(arrays(), 3, shuffle=5)) == epoch_of(loader)


def test_a_second_loop_ends_the_first():
    """The first says so at its next batch; the second is whole."""
    loader = Loader(arrays(), 3)
    first = iter(loader)
    next(first)
    second = iter(loader)

    with pytest.raises(RuntimeError, match="this loop has ended: another one has begun since"):
        next(first)
    assert [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]] == [x.tolist() for (x,) in second]


def test_a_loop_that_has_ended_stays_ended():
    """Asked again, it gives nothing, and the epoch is not counted twice."""
    loader = Loader(arrays(), 3)
    loop = iter(loader)
    list(loop)

    assert [] == list(loop)
    assert 1 == loader.epoch


def test_a_closed_loader_says_so():
    """Its loop, its next loop, and its steps; it can be closed again, and still says where it is."""
    loader = Loader(arrays(), 3, pool=1)
    loop = iter(loader)
    next(loop)
    loader.close()
    loader.close()

    for call in (lambda: next(loop), lambda: iter(loader), lambda: loader.steps(1)):
        with pytest.raises(PoolClosedError, match="the loader (was|is) closed"):
            call()
    assert (0, 1) == (loader.epoch, loader.step)


def test_an_epoch_after_steps_is_the_next():
    """Of the epoch that the steps ended in, some was delivered."""
    loader, other = (Loader(arrays(), 3, shuffle=5) for _ in range(2))
    list(loader.steps(5))
    for _ in range(2):
        epoch_of(other)

    assert (epoch_of(other), 3) == (epoch_of(loader), loader.epoch)


def test_a_loop_has_the_length_of_what_is_left():
    """Of an epoch, of some steps, and after a resume."""
    loader = Loader(arrays(), 2)
    loop = iter(loader)
    lengths = [len(loop), next(loop) and len(loop)]
    state = loader.state_dict()
    steps = loader.steps(7)
    lengths += [len(steps), next(steps) and len(steps)]
    loader.load_state_dict(state)
    rest = iter(loader)

    assert [5, 4, 7, 6] == lengths
    assert 4 == len(rest) == len(list(rest))
    assert (0, True) == (len(rest), bool(rest))


def test_a_loop_without_a_known_end_has_no_length():
    """As a loader over such a source has none."""
    for source in (arrays(repeats=-1), IteratorDataSource(iter([(np.arange(2),)]))):
        with pytest.raises(TypeError, match="no len"):
            len(iter(Loader(source, 2)))


def test_a_progress_bar_after_a_resume_counts_the_rest():
    """`tqdm` asks for the length of what it loops over."""
    tqdm = pytest.importorskip("tqdm").tqdm
    loader = Loader(arrays(), 2)
    loader.load_state_dict({**loader.state_dict(), "step": 2})

    assert (3, 4) == (tqdm(iter(loader), disable=True).total, tqdm(loader.steps(4), disable=True).total)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"last": "drop"}, 'last="drop" leaves out batches of fewer than 16 samples'),
        ({"shard": (0, 2)}, 'it has fewer batches than the 2 ranks; remainder="pad" gives each of them one'),
    ],
)
def test_an_epoch_without_a_batch_warns(options, why):
    """Of samples, there are some; it says why, and points at the loop."""
    with pytest.warns(UserWarning, match="epoch 0 gave no batch: ") as caught:
        assert [] == list(Loader(arrays(), 16, **options))

    assert why in str(caught[0].message)
    assert __file__ == caught[0].filename


def test_an_epoch_that_should_be_empty_does_not_warn():
    """Over no samples, of a rank that gets none as it asked for, and after a resume at the end."""
    loader = Loader(arrays(), 5)
    loader.load_state_dict({**loader.state_dict(), "step": 2})

    assert [] == list(loader)
    assert [] == list(Loader(arrays(0), 5))
    assert [] == list(Loader(arrays(), 16, shard=(1, 2), remainder="uneven"))


def test_a_loop_shows_where_it_is():
    """How many batches it gave, and whether it was ended by another loop or by closing the loader."""
    loader = Loader(arrays(), 3)
    batches = iter(loader)
    next(batches)
    before = repr(batches)
    loader.close()

    assert ("<Loop: 1 batches delivered>", "<Loop: 1 batches delivered, closed>") == (before, repr(batches))
