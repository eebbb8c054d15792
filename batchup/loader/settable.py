"""What can be set during a run: the batch size and the weights of the next epochs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from .changes import Changes
from .loop import Loop, RunState
from .plan import RunPlan

__all__ = ["Settable", "in_a_loop_over_steps"]


class Settable:
    """The methods of a loader that change it during a run. Abstract."""

    _plan: RunPlan
    _changes: Changes
    _run: RunState
    _current_loop: Callable[[], Loop | None]

    @property
    def batch_size(self) -> int:
        """The number of samples per batch in the current epoch."""
        return self._plan.at(self._run.epoch).batch_size

    def set_weights(self, weights: Any) -> None:
        """Draw samples by other weights from the next epoch on, for example hard samples more often.

        The source needs a sampler with weights to begin with. With several ranks, call it on all of them with the same
        weights in the same epoch. To resume a run, save the weights beside the state, and call this with them before
        `load_state_dict`. If there are several weights, the order does not matter: the state says which belong to which
        epoch. With ``last="wrap"`` the samples that fill the last batch of an epoch are drawn by the weights of that
        epoch.

        Parameters
        ----------
        weights : array of float, 1-D, or None
            As for the sampler of the source. None restores the weights of the source.

        Raises
        ------
        TypeError
            If the source has no sampler with weights.
        RuntimeError
            In a loop over `steps`, which may span several epochs.

        Examples
        --------
        >>> import numpy as np
        >>> from batchup import ArrayDataSource, Loader, WeightedSampler
        >>> ds = ArrayDataSource([np.arange(3)], sampler=WeightedSampler(np.ones(3), num_samples=6))
        >>> loader = Loader(ds, batch_size=6, shuffle=7)
        >>> [x.tolist() for (x,) in loader]
        [[2, 0, 1, 2, 2, 0]]
        >>> loader.set_weights([1, 0, 9])
        >>> [x.tolist() for (x,) in loader]
        [[2, 0, 2, 2, 0, 2]]
        """
        self._set("weights", weights)

    def set_batch_size(self, batch_size: int | None) -> None:
        """Make batches of another size from the next epoch on.

        With several ranks, call it on all of them in the same epoch. The batch size is part of the state.

        Parameters
        ----------
        batch_size : int or None
            None restores the batch size that the loader was made with.

        Raises
        ------
        RuntimeError
            In a loop over `steps`, which may span several epochs.

        Examples
        --------
        >>> import numpy as np
        >>> from batchup import Loader
        >>> loader = Loader([np.arange(5)], batch_size=2)
        >>> loader.set_batch_size(4)
        >>> [x.tolist() for (x,) in loader]
        [[0, 1, 2, 3], [4]]
        """
        self._set("batch_size", batch_size)

    def _set(self, name: str, value: Any) -> None:
        loop, run = self._current_loop(), self._run
        is_in_loop = loop is not None and not loop.ended
        if is_in_loop and loop is not None and not loop.is_over_epoch:
            raise in_a_loop_over_steps(name)
        epoch = run.epoch + 1 if run.step or is_in_loop else run.epoch
        changes = self._changes.set(name, value, epoch, (run.epoch, run.step))
        plan = dataclasses.replace(self._plan, changes=changes)
        plan.length(epoch)  # raises if the value does not fit the source
        self._plan, self._changes = plan, changes

    def _epoch_at_hand(self) -> int:
        """The epoch of the current loop; if there is none, of the next loop."""
        loop = self._current_loop()
        return self._run.epoch if loop is not None and not loop.ended else self._run.upcoming()[0]


def in_a_loop_over_steps(name: str) -> RuntimeError:
    """What is raised where the next epoch of the loop is not the next one of the run."""
    return RuntimeError(
        f"set_{name} should not be called in a loop over steps(), which may span several epochs; call it between two "
        "such loops, such as loops over loader.steps(100)"
    )
