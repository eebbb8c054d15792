"""Images in folders, one folder for each class."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from ..engine import arena
from ..engine.checks import INTEGERS, whole
from ..engine.optional import library
from ..errors import noted
from .base import row_indices

__all__ = ["ImageFolder"]

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")


class ImageFolder:
    """The images of a folder with a sub-folder for each class, decoded when they are needed.

    ``ParallelItems(images, workers=4, combine=numpy.stack)`` decodes the images of a batch in several threads.

    Parameters
    ----------
    root : str or path-like
        Its sub-folders are the classes. They may contain further folders.
    size : tuple of int, optional
        Height and width to resize each image to. Then a batch is one array; else it is a list of arrays.
    mode : str, default "RGB"
        The mode of Pillow: ``"RGB"``, ``"L"`` for grey, …
    extensions : tuple of str, optional
        The extensions of image files. By default those of the common formats.

    Attributes
    ----------
    paths : list of str
        Sorted by class, then by name.
    labels : array of int
        The class of each image, from 0.
    classes : list of str
        The names of the classes, which are those of the sub-folders.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or there are no images in its sub-folders.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for name in ["cat", "dog"]:
    ...         os.mkdir(f"{root}/{name}")
    ...         Image.new("RGB", (8, 6)).save(f"{root}/{name}/1.png")
    ...     images = ImageFolder(root, size=(3, 4))
    ...     images.classes, images.labels.tolist(), images[[0, 1]].shape
    (['cat', 'dog'], [0, 1], (2, 3, 4, 3))
    """

    chunks = None

    def __init__(
        self,
        root: str | os.PathLike[str],
        size: tuple[int, int] | None = None,
        mode: str = "RGB",
        extensions: tuple[str, ...] = EXTENSIONS,
    ) -> None:
        self.root = os.path.abspath(os.fspath(root))
        self.size = None if size is None else (whole("size[0]", size[0]), whole("size[1]", size[1]))
        self.mode = mode
        self.classes = sorted(each.name for each in os.scandir(self.root) if each.is_dir())
        found = [_images_in(os.path.join(self.root, name), extensions) for name in self.classes]
        self.paths = [path for paths in found for path in paths]
        self.labels: npt.NDArray[np.intp] = np.repeat(np.arange(len(found)), [len(paths) for paths in found])
        if not self.paths:
            raise FileNotFoundError(
                f"{self.root} should have a sub-folder with images for each class, but there are no files "
                f"{', '.join('*' + each for each in extensions)} in its sub-folders"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of images and, with `size`, the shape of each."""
        if self.size is None:
            return (len(self.paths),)
        library("PIL", "batchup[image]", "ImageFolder")
        from PIL import Image

        bands = len(Image.new(self.mode, (1, 1)).getbands())
        return (len(self.paths), *self.size, *([bands] if bands > 1 else []))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The data type of the batches; objects if images differ in size."""
        return np.dtype(object) if self.size is None else self[0].dtype

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, INTEGERS) and not isinstance(index, bool):
            return self._decoded(int(row_indices([index], len(self))[0]))
        images = [self._decoded(i) for i in row_indices(index, len(self)).tolist()]
        if self.size is None:
            return images
        if not images:
            return np.empty((0, *self.shape[1:]), self.dtype)
        return np.stack(images, out=arena.empty((len(images), *images[0].shape), images[0].dtype))

    def _decoded(self, i: int) -> npt.NDArray[Any]:
        image = library("PIL.Image", "batchup[image]", "ImageFolder")
        try:
            with image.open(self.paths[i]) as opened:
                if self.size is not None:
                    opened.draft(self.mode, self.size[::-1])  # a JPEG is decoded at no more than twice that
                picture = opened.convert(self.mode)
        except Exception as error:
            noted(error, f"while reading sample {i}, {self.paths[i]}")
            raise
        return np.array(picture if self.size is None else picture.resize(self.size[::-1]))

    def __repr__(self) -> str:
        return f"<ImageFolder {self.root!r}: {len(self.paths)} images of {len(self.classes)} classes>"


def _images_in(folder: str, extensions: tuple[str, ...]) -> list[str]:
    found = []
    for inner, folders, names in os.walk(folder):
        folders.sort()
        found += [os.path.join(inner, name) for name in sorted(names) if name.lower().endswith(extensions)]
    return found
