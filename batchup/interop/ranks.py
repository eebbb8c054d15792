"""The rank of this process, from PyTorch, JAX or the environment of the launcher."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

__all__ = ["Rank", "found_rank", "torch_rank"]

# The variables that launchers set: the rank, and the world size.
LAUNCHERS = {
    "torchrun": ("RANK", "WORLD_SIZE"),
    "SLURM": ("SLURM_PROCID", "SLURM_NTASKS"),
    "Open MPI": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
}


class Rank(NamedTuple):
    """The rank of a process, the world size, and where they were found.

    Attributes
    ----------
    rank, world : int
        The rank, from 0, and the number of ranks.
    origin : str
        What they were read from, such as ``"torch.distributed"``.
    """

    rank: int
    world: int
    origin: str


def found_rank(environ: Mapping[str, str] = os.environ) -> Rank | None:
    """The rank and the world size of this process; None if they cannot be found.

    They are taken from the first of these that has them: ``torch.distributed``, if its process group is initialised;
    ``jax.distributed``, if it is initialised; the environment variables of torchrun, SLURM and Open MPI. This imports
    neither PyTorch nor JAX.

    Parameters
    ----------
    environ : mapping, default os.environ

    Raises
    ------
    ValueError
        If the variables of a launcher are not a valid rank and world size.

    Examples
    --------
    >>> found_rank({"RANK": "1", "WORLD_SIZE": "4"})
    Rank(rank=1, world=4, origin='the environment of torchrun')
    """
    return next(_ranks(environ), None)


def torch_rank() -> Rank | None:
    """The rank of ``torch.distributed``; None if PyTorch is not imported, or there is no process group.

    >>> torch_rank() is None
    True
    """
    distributed = getattr(sys.modules.get("torch"), "distributed", None)
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None
    return Rank(distributed.get_rank(), distributed.get_world_size(), "torch.distributed")


def _jax_rank() -> Rank | None:
    distributed = getattr(sys.modules.get("jax"), "distributed", None)
    if not getattr(distributed, "is_initialized", lambda: False)():
        return None
    jax: Any = sys.modules["jax"]
    return Rank(jax.process_index(), jax.process_count(), "jax.distributed")


def _ranks(environ: Mapping[str, str]) -> Iterator[Rank]:
    for found in (torch_rank(), _jax_rank()):
        if found is not None:
            yield found
    for launcher, names in LAUNCHERS.items():
        if all(name in environ for name in names):
            yield Rank(*_numbers(names, environ), f"the environment of {launcher}")


def _numbers(names: tuple[str, str], environ: Mapping[str, str]) -> tuple[int, int]:
    texts = [environ[name] for name in names]
    if not all(text.isdecimal() for text in texts) or int(texts[0]) >= int(texts[1]):
        said = ", ".join(f"{name}={text!r}" for name, text in zip(names, texts, strict=True))
        raise ValueError(
            f'shard="auto" takes a rank below the world size from {names[0]} and {names[1]}, not {said}; pass '
            "shard=(rank, world)"
        )
    return int(texts[0]), int(texts[1])
