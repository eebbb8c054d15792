"""The order of an epoch: from PyTorch's samplers, and how to replay it."""

from __future__ import annotations

import ast
import base64
import contextlib
import copy
import hashlib
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch.utils.data import BatchSampler, RandomSampler, SequentialSampler

__all__ = ["Order", "digest"]


class Order:
    """The picks of a loader, epoch by epoch.

    Parameters
    ----------
    index_sampler : iterable
        Yields lists of indices, or single indices if `batch_size` is None.
    generator : torch.Generator or None
        The generator of the loader.
    as_tensors : bool
        Whether picks may be tensors of indices, if that is faster.
    """

    def __init__(self, index_sampler: Any, generator: Any, as_tensors: bool) -> None:
        self.index_sampler, self.generator, self.as_tensors = index_sampler, generator, as_tensors
        self.samplers = list(_samplers(index_sampler))

    def begin(self) -> tuple[Iterator[Any], int]:
        """The picks of an epoch, and a seed for its workers, drawn as PyTorch draws them."""
        picks = iter(self.index_sampler)
        if self.as_tensors:
            picks = _whole_takes(self.index_sampler) or picks
        return picks, int(torch.empty((), dtype=torch.int64).random_(generator=self.generator).item())

    def state(self, begun: bool) -> dict[str, Any]:
        """The state of the samplers and their generators; if the epoch has `begun`, also of the global generators."""
        state: dict[str, Any] = {
            "generators": [_text(each.get_state().numpy()) for each in self._generators()],
            "samplers": [_state_of(each) for each in self.samplers],
        }
        if begun:
            state["global"] = _global_state(all(map(_is_of_torch, self.samplers)))
        return state

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore the generators and samplers."""
        generators = self._generators()
        if len(generators) != len(state["generators"]) or len(self.samplers) != len(state["samplers"]):
            raise ValueError(
                f"the state is of {len(state['samplers'])} samplers with {len(state['generators'])} generators of "
                f"their own, but here are {len(self.samplers)} with {len(generators)}; make the loader as it was then"
            )
        for generator, text in zip(generators, state["generators"], strict=True):
            generator.set_state(_tensor(text))
        for sampler, each in zip(self.samplers, state["samplers"], strict=True):
            _restore(sampler, each)

    def is_of_same_rank(self, state: Mapping[str, Any]) -> bool:
        """Whether the samplers divided the epoch for the same rank when they had this state."""
        theirs = [(each or {}).get("rank") for each in state["samplers"]]
        return theirs == [(_state_of(each) or {}).get("rank") for each in self.samplers]

    def _generators(self) -> list[Any]:
        found = [self.generator, *(getattr(sampler, "generator", None) for sampler in self.samplers)]
        return [each for i, each in enumerate(found) if isinstance(each, torch.Generator) and each not in found[:i]]


@contextlib.contextmanager
def globals_as(state: Mapping[str, str]) -> Iterator[None]:
    """A context in which the global generators are as they were in `state`; at its end they are as before."""
    kept = _global_state(False)
    _set_globals(state)
    try:
        yield
    finally:
        _set_globals(kept)


def digest(pick: Any) -> str:
    """A short text that stands for one pick.

    >>> digest([1, 2]) == digest(torch.tensor([1, 2])), digest([1, 2]) == digest([2, 1])
    (True, False)
    """
    plain = pick.tolist() if hasattr(pick, "tolist") else pick
    return hashlib.blake2b(repr(plain).encode(), digest_size=8).hexdigest()


def _samplers(sampler: Any) -> Iterator[Any]:
    """A sampler, and the samplers inside it."""
    seen: list[Any] = []
    while sampler is not None and not any(sampler is each for each in seen):
        seen.append(sampler)
        sampler = getattr(sampler, "batch_sampler", None) or getattr(sampler, "sampler", None)
    yield from seen


def _is_of_torch(sampler: Any) -> bool:
    return type(sampler).__module__.startswith("torch.")


def _state_of(sampler: Any) -> Any:
    if hasattr(sampler, "state_dict") and hasattr(sampler, "load_state_dict"):
        return {"state": copy.deepcopy(sampler.state_dict())}
    if not hasattr(sampler, "set_epoch"):
        return None
    numbers = {name: getattr(sampler, name, None) for name in ("epoch", "rank")}
    return {name: number for name, number in numbers.items() if isinstance(number, int)} or None


def _restore(sampler: Any, state: Any) -> None:
    if state and "state" in state and hasattr(sampler, "load_state_dict"):
        sampler.load_state_dict(copy.deepcopy(state["state"]))
    elif state and "epoch" in state and hasattr(sampler, "set_epoch"):
        sampler.set_epoch(state["epoch"])


def _whole_takes(sampler: Any) -> Iterator[Any] | None:
    """The picks of PyTorch's standard samplers as tensors: the same indices, without making lists."""
    if type(sampler) is not BatchSampler:
        return None
    inner, n = sampler.sampler, sampler.batch_size
    if type(inner) is SequentialSampler:
        return _cut([torch.arange(len(inner.data_source))], n, sampler.drop_last)
    if type(inner) is RandomSampler and not inner.replacement and inner.num_samples == len(inner.data_source):
        return _cut(_permutation(inner), n, sampler.drop_last)
    return None


def _permutation(sampler: Any) -> Iterator[Any]:
    generator = sampler.generator
    if generator is None:
        generator = torch.Generator()
        generator.manual_seed(int(torch.empty((), dtype=torch.int64).random_().item()))
    yield torch.randperm(len(sampler.data_source), generator=generator)
    torch.randperm(len(sampler.data_source), generator=generator)  # as the sampler does for what is left over: nothing


def _cut(orders: Any, n: int, drop_last: bool) -> Iterator[Any]:
    for order in orders:
        for pick in order.split(n):
            if len(pick) == n or not drop_last:
                yield pick


def _global_state(torch_only: bool) -> dict[str, str]:
    state = {"torch": _text(torch.get_rng_state().numpy())}
    if not torch_only:
        version, numbers, gauss = random.getstate()
        numpy_state: Any = np.random.get_state(legacy=True)
        kind, key, pos, has_gauss, cached = numpy_state
        state["random"] = repr((version, numbers, gauss))
        state["numpy"] = repr((kind, key.tolist(), pos, has_gauss, cached))
    return state


def _set_globals(state: Mapping[str, str]) -> None:
    torch.set_rng_state(_tensor(state["torch"]))
    if "random" in state:
        random.setstate(ast.literal_eval(state["random"]))
        np.random.set_state(ast.literal_eval(state["numpy"]))


def _text(array: Any) -> str:
    return base64.b64encode(array.tobytes()).decode()


def _tensor(text: str) -> Any:
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)
