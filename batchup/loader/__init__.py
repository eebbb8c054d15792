"""Training runs: a loader that is reproducible, can be resumed and sharded over ranks, and shows where time goes."""

from typing import TYPE_CHECKING

from ..engine.on_use import on_use

if TYPE_CHECKING:
    from .loader import Loader
    from .skipping import Skipped
    from .stats import LoaderStats

__all__ = ["Loader", "LoaderStats", "Skipped"]

__getattr__, __dir__ = on_use(__name__, {"loader": ["Loader"], "skipping": ["Skipped"], "stats": ["LoaderStats"]})
