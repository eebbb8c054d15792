"""Batches of images, with Pillow. For other transforms, pass those of a library to `Batch.apply_parallel`."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, ClassVar, TypeAlias

import numpy as np

from ...engine.optional import library
from ..data.batch import Batch, positional
from ..data.columns import Components
from ..items.actions import action, apply_parallel
from .formats import PerFile, register_format

__all__ = ["ImagesBatch"]

Fill: TypeAlias = float | str | tuple[int, ...] | None


def _pillow(module: str = "Image") -> Any:
    return library(f"PIL.{module}", "batchup[image]", "an ImagesBatch", "Pillow")


def _unpack(packed: bytes, mode: str | None = None) -> Any:
    image = _pillow().open(io.BytesIO(packed))
    image.load()
    return image.convert(mode) if mode else image


def _pack(values: Mapping[str, Any], format: str = "png", **options: Any) -> bytes:
    if len(values) != 1:
        raise ValueError(f"components should name the one with the images to write, not {', '.join(values)}")
    file = io.BytesIO()
    to_image(next(iter(values.values()))).save(file, format=format, **options)
    return file.getvalue()


register_format("image", PerFile(_unpack, _pack))


def to_image(item: Any) -> Any:
    """An image of Pillow, from an image or an array of uint8."""
    if not isinstance(item, np.ndarray):
        return item
    if item.dtype != np.uint8:
        raise TypeError(f"images should be arrays of uint8 or images of Pillow, not arrays of {item.dtype}")
    return _pillow().fromarray(item.squeeze(-1) if item.ndim == 3 and item.shape[-1] == 1 else item)


def _like(item: Any, image: Any) -> Any:
    """The image as an array with the axes of `item`, if that is an array; else the image itself."""
    if not isinstance(item, np.ndarray):
        return image
    array = np.asarray(image)
    return array[..., np.newaxis] if array.ndim < item.ndim else array


def _filter(resample: str) -> Any:
    filters = _pillow().Resampling
    if resample not in filters.__members__:
        raise ValueError(f"resample should be one of {', '.join(filters.__members__)}, not {resample!r}")
    return filters[resample]


class ImagesBatch(Batch):
    """Images of Pillow, or arrays of uint8, with the most common transforms.

    Shapes and sizes are (height, width), positions (row, column), as for arrays. All actions take `src`, `dst` and `p`.

    Examples
    --------
    >>> images = np.zeros((2, 8, 6, 3), dtype=np.uint8)
    >>> batch = ImagesBatch(2, preloaded=dict(images=images))
    >>> batch.resize((4, 4)).flip("lr").pad(1).images.shape
    (2, 6, 6, 3)
    """

    components = "images", "labels", "masks"
    apply_defaults: ClassVar[dict[str, Any]] = dict(Batch.apply_defaults, src="images")

    @action
    def load(self, *args: Any, src: Any = None, fmt: str | None = None, dst: Components = None, **kwargs: Any) -> Any:
        """As `Batch.load`. With ``fmt="image"`` the images go to the component images; ``mode="L"`` converts them."""
        (src, fmt), rest = positional(args, src, fmt)
        if fmt == "image" and dst is None:
            dst = kwargs.pop("components", None) or "images"
        return super().load(*rest, src=src, fmt=fmt, dst=dst, **kwargs)

    @action
    def dump(
        self, *args: Any, dst: Any = None, fmt: str | None = None, components: Components = None, **kwargs: Any
    ) -> Any:
        """As `Batch.dump`. With ``fmt="image"`` it writes the component images, as png or in another `format`."""
        (dst, fmt), rest = positional(args, dst, fmt)
        components = "images" if fmt == "image" and components is None else components
        return super().dump(*rest, dst=dst, fmt=fmt, components=components, **kwargs)

    @apply_parallel
    def rotate(
        self, image: Any, angle: float, expand: bool = False, resample: str = "NEAREST", fill: Fill = None
    ) -> Any:
        """Rotate images counter-clockwise by an angle in degrees."""
        turned = to_image(image).rotate(float(angle), _filter(resample), expand, fillcolor=fill)
        return _like(image, turned)

    @apply_parallel
    def resize(self, image: Any, size: tuple[int, int], resample: str = "BILINEAR") -> Any:
        """Resize images to a size, (height, width)."""
        height, width = size
        return _like(image, to_image(image).resize((int(width), int(height)), _filter(resample)))

    @apply_parallel
    def scale(
        self, image: Any, factor: float | tuple[float, float], preserve_shape: bool = False, resample: str = "BILINEAR"
    ) -> Any:
        """Scale images by a factor, or by two factors for height and width.

        With `preserve_shape` the result is cropped or padded with zeros around the center.
        """
        picture = to_image(image)
        by_height, by_width = np.broadcast_to(factor, 2)
        width, height = picture.size
        new = max(1, round(width * float(by_width))), max(1, round(height * float(by_height)))
        scaled = picture.resize(new, _filter(resample))
        if preserve_shape:
            left, top = (new[0] - width) // 2, (new[1] - height) // 2
            scaled = scaled.crop((left, top, left + width, top + height))
        return _like(image, scaled)

    @apply_parallel
    def crop(self, image: Any, origin: str | tuple[int, int], shape: tuple[int, int]) -> Any:
        """Crop images. `origin` is (row, column), 'top_left', 'center' or 'random'; `shape` is (height, width)."""
        picture = to_image(image)
        (width, height), (tall, wide) = picture.size, map(int, shape)
        if tall > height or wide > width:
            raise ValueError(f"shape should be at most {height, width}, the shape of the image, not {tall, wide}")
        row, column = self._origin(origin, (height - tall, width - wide))
        if not (0 <= row <= height - tall and 0 <= column <= width - wide):
            raise ValueError(
                f"a crop of {tall, wide} should be inside the image of {height, width}, not at {row, column}"
            )
        return _like(image, picture.crop((column, row, column + wide, row + tall)))

    def _origin(self, origin: str | tuple[int, int], margin: tuple[int, int]) -> tuple[int, int]:
        if isinstance(origin, str):
            known = {"top_left": (0, 0), "center": (margin[0] // 2, margin[1] // 2)}
            if origin == "random":
                return int(self.random.integers(margin[0] + 1)), int(self.random.integers(margin[1] + 1))
            if origin not in known:
                raise ValueError(f"origin should be (row, column), 'top_left', 'center' or 'random', not {origin!r}")
            return known[origin]
        row, column = map(int, origin)
        return row, column

    @apply_parallel
    def flip(self, image: Any, mode: str = "lr") -> Any:
        """Mirror images: left to right ('lr') or upside down ('ud')."""
        if mode not in ("lr", "ud"):
            raise ValueError(f"mode should be 'lr' or 'ud', not {mode!r}")
        flips = _pillow().Transpose
        way = flips.FLIP_LEFT_RIGHT if mode == "lr" else flips.FLIP_TOP_BOTTOM
        return _like(image, to_image(image).transpose(way))

    @apply_parallel
    def pad(self, image: Any, border: Any, fill: Fill = 0) -> Any:
        """Add a border around images: `border` is one width, or (left, top, right, bottom)."""
        border = int(border) if np.ndim(border) == 0 else tuple(map(int, border))
        return _like(image, _pillow("ImageOps").expand(to_image(image), border, fill))
