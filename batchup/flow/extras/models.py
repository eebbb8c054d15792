"""Models: objects with ``train`` and ``predict``, and adapters for scikit-learn estimators and torch modules."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import numpy.typing as npt

from ...engine.checks import a_or_an
from ...engine.optional import library
from ..signatures import accepts

__all__ = ["SklearnModel", "TorchModel", "as_model", "build_model"]


def as_model(obj: object) -> Any:
    """`obj` as a model.

    Parameters
    ----------
    obj : object
        An object with `train` and `predict` is a model already. An estimator of scikit-learn, or an object like one,
        becomes a `SklearnModel`, and a ``torch.nn.Module`` becomes a `TorchModel`.

    Raises
    ------
    TypeError
        For anything else.
    """
    if _is_torch_class(type(obj)):  # its `train` means something else
        return TorchModel({"module": obj})
    if callable(getattr(obj, "train", None)) and callable(getattr(obj, "predict", None)):
        return obj
    if hasattr(obj, "fit") or hasattr(obj, "partial_fit"):
        return SklearnModel(obj)
    raise TypeError(
        f"a model should have train() and predict(), or fit(), or be a torch module; {a_or_an(type(obj))} is not"
    )


def build_model(model_class: Callable[..., Any] | None, config: Mapping[str, Any] | None = None) -> Any:
    """Make a model from a class and its config, which is passed as ``config=`` or else as keyword arguments."""
    if model_class is None:
        config = dict(config or {})
        model_class = config.pop("model", TorchModel if "module" in config else None)
    if not callable(model_class):
        raise TypeError("a model needs a model_class, a source= or a config with a torch 'module'")
    if isinstance(model_class, type) and _is_torch_class(model_class):
        return TorchModel({**(config or {}), "module": model_class})
    if "config" in accepts(model_class).names:
        return as_model(model_class(config=config))
    return as_model(model_class(**(config or {})))


def _is_torch_class(kind: type) -> bool:
    return any(base.__module__ == "torch.nn.modules.module" and base.__name__ == "Module" for base in kind.__mro__)


class SklearnModel:
    """An estimator of scikit-learn as a model: `train` is ``partial_fit`` where there is one, else ``fit``.

    Parameters
    ----------
    estimator : object

    Examples
    --------
    >>> from sklearn.naive_bayes import GaussianNB
    >>> model = SklearnModel(GaussianNB())
    >>> model.train([[0.0], [1.0]], [0, 1], classes=[0, 1])
    >>> model.predict([[0.9]])
    array([1])
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def train(self, *args: object, **kwargs: object) -> None:
        """Fit the estimator to a batch."""
        step = getattr(self.estimator, "partial_fit", None) or self.estimator.fit
        step(*args, **kwargs)

    def predict(self, *args: object, fetches: str = "predict", **kwargs: object) -> Any:
        """The predictions of the estimator; `fetches` names another method, such as ``'predict_proba'``."""
        return getattr(self.estimator, fetches)(*args, **kwargs)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the estimator to a file."""
        with open(path, "wb") as file:
            pickle.dump(self.estimator, file)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Load the estimator from a file that you trust: it is a pickle."""
        with open(path, "rb") as file:
            self.estimator = pickle.load(file)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "estimator":
            raise AttributeError(name)
        return getattr(self.estimator, name)


class TorchModel:
    """A torch module as a model: `train` does one step of the optimizer.

    Parameters
    ----------
    config : dict
        ``module`` : a ``torch.nn.Module``, or a class or function to call with ``module_options``;
        ``loss`` : a function of predictions and targets, or its name in ``torch.nn.functional``, default
        ``'cross_entropy'``;
        ``optimizer`` : the name of a class in ``torch.optim``, default ``'Adam'``, or a function of the parameters;
        ``optimizer_options`` : dict;
        ``device`` : default ``'cpu'``.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        torch = _torch()
        config = dict(config)
        module = config.pop("module")
        options = config.pop("module_options", {})
        self.device = config.pop("device", "cpu")
        self.module = (module if isinstance(module, torch.nn.Module) else module(**options)).to(self.device)
        loss = config.pop("loss", "cross_entropy")
        self.loss: Callable[..., Any] = getattr(torch.nn.functional, loss) if isinstance(loss, str) else loss
        make = config.pop("optimizer", "Adam")
        make = getattr(torch.optim, make) if isinstance(make, str) else make
        self.optimizer = make(self.module.parameters(), **config.pop("optimizer_options", {}))
        if config:
            raise TypeError(f"a TorchModel takes module, loss, optimizer and device, not {', '.join(map(str, config))}")

    def train(self, inputs: npt.ArrayLike, targets: npt.ArrayLike) -> float:
        """Do one step; return the loss before it."""
        self.module.train()
        self.optimizer.zero_grad()
        loss = self.loss(self.module(self._tensor(inputs)), self._tensor(targets))
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def predict(self, inputs: npt.ArrayLike) -> Any:
        """The output of the module, as an array or a tuple of arrays."""
        self.module.eval()
        with _torch().no_grad():
            found = self.module(self._tensor(inputs))
        return tuple(map(_array, found)) if isinstance(found, (tuple, list)) else _array(found)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the state of module and optimizer to a file."""
        _torch().save({"module": self.module.state_dict(), "optimizer": self.optimizer.state_dict()}, path)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Load the state from a file."""
        state = _torch().load(path, map_location=self.device, weights_only=True)
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])

    def _tensor(self, values: npt.ArrayLike) -> Any:
        return _torch().as_tensor(values, device=self.device)


def _array(tensor: Any) -> Any:
    return tensor.detach().cpu().numpy()


def _torch() -> Any:
    return library("torch", "torch", "a TorchModel")
