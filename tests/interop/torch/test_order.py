"""The order of an epoch, as PyTorch's samplers say it, and again from a state."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.utils.data import BatchSampler, RandomSampler, Sampler, SequentialSampler  # noqa: E402

from batchup.interop.torch.order import Order, digest, globals_as  # noqa: E402

N = 11


def seeded(seed=3):
    return torch.Generator().manual_seed(seed)


class OwnState(Sampler):
    """A sampler that knows where it is."""

    def __init__(self):
        self.passes = 0

    def __iter__(self):
        self.passes += 1
        return iter(range(self.passes))

    def state_dict(self):
        return {"passes": self.passes}

    def load_state_dict(self, state):
        self.passes = state["passes"]


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("shuffled", [False, True])
def test_tensors_of_indices_are_the_lists_of_the_samplers(shuffled, drop_last):
    """Epoch after epoch: the generator is drawn from in the same way."""

    def order(as_tensors):
        generator = seeded()
        inner = RandomSampler(range(N), generator=generator) if shuffled else SequentialSampler(range(N))
        return Order(BatchSampler(inner, 4, drop_last), generator, as_tensors)

    lists, tensors = order(False), order(True)
    for _ in range(3):
        (picks, seed), (as_tensors, same_seed) = lists.begin(), tensors.begin()

        assert list(picks) == [pick.tolist() for pick in as_tensors]
        assert seed == same_seed


def test_an_epoch_begins_again_from_a_state():
    """With the same order and the same seed for the workers; the state is plain data."""
    generator = seeded()
    order = Order(RandomSampler(range(N), generator=generator), generator, False)
    list(order.begin()[0])
    state = json.loads(json.dumps(order.state(False)))
    picks, seed = order.begin()
    expected = list(picks), seed
    order.restore(state)
    picks, seed = order.begin()

    assert expected == (list(picks), seed)


def test_samplers_with_a_state_or_an_epoch_go_on():
    """`load_state_dict` and `set_epoch` are called."""

    class Epochs(Sampler):
        epoch = 0

        def set_epoch(self, epoch):
            self.epoch = epoch

        def __iter__(self):
            return iter(range(self.epoch))

    sampler, epochs = OwnState(), Epochs()
    epochs.set_epoch(4)
    list(sampler)
    states = [Order(each, None, False).state(False) for each in (sampler, epochs)]
    fresh = OwnState(), Epochs()
    for each, state in zip(fresh, states, strict=True):
        Order(each, None, False).restore(state)

    assert (1, 4) == (fresh[0].passes, fresh[1].epoch)


def test_a_state_of_other_samplers_is_refused():
    """The numbers of samplers and of generators are told."""
    state = Order(RandomSampler(range(N), generator=seeded()), None, False).state(False)
    other = Order(SequentialSampler(range(N)), None, False)

    with pytest.raises(ValueError, match="1 samplers with 1 generators .* here are 1 with 0"):
        other.restore(state)


def test_the_global_generators_are_put_back():
    """Inside, they are as they were in the state; behind it, as they were."""

    def drawn():
        return torch.rand(1).item(), random.random(), np.random.random()

    class Own(Sampler):
        def __iter__(self):
            return iter(range(3))

    state = json.loads(json.dumps(Order(Own(), None, False).state(True)))
    first, second = drawn(), drawn()
    with globals_as(state["global"]):
        again = drawn()
    third = drawn()

    assert first == again
    assert third not in (first, second)


def test_the_digest_of_a_pick():
    """Lists and tensors of the same indices have one, which others do not have."""
    assert digest([1, 2]) == digest(torch.tensor([1, 2]))
    assert 3 == len({digest([1, 2]), digest([2, 1]), digest([12])})
