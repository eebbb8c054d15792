"""Images: the actions, for images of Pillow and for arrays."""

import numpy as np
import pytest

from batchup.flow import Dataset, FilesIndex, ImagesBatch, P, R

Image = pytest.importorskip("PIL.Image")

PICTURE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


def batch(kind, picture=PICTURE, n=2):
    images = np.stack([picture] * n)
    if kind == "pillow":
        images = [Image.fromarray(picture.squeeze()) for _ in range(n)]
    return ImagesBatch(n, preloaded={"images": images})


def arrays(images):
    return [np.asarray(image) for image in images]


@pytest.mark.parametrize("kind", ["pillow", "array"])
@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (lambda b: b.rotate(90, expand=True), np.rot90(PICTURE)),
        (lambda b: b.flip(), PICTURE[:, ::-1]),
        (lambda b: b.flip("ud"), PICTURE[::-1]),
        (lambda b: b.crop((1, 2), (2, 3)), PICTURE[1:3, 2:5]),
        (lambda b: b.crop("center", (2, 2)), PICTURE[1:3, 2:4]),
        (lambda b: b.crop("top_left", (2, 2)), PICTURE[:2, :2]),
        (lambda b: b.pad(1), np.pad(PICTURE, ((1, 1), (1, 1), (0, 0)))),
        (lambda b: b.pad((1, 0, 0, 2)), np.pad(PICTURE, ((0, 2), (1, 0), (0, 0)))),
        (lambda b: b.resize((8, 12), resample="NEAREST"), PICTURE.repeat(2, 0).repeat(2, 1)),
        (lambda b: b.scale(2, resample="NEAREST"), PICTURE.repeat(2, 0).repeat(2, 1)),
        (lambda b: b.scale((2, 1), resample="NEAREST"), PICTURE.repeat(2, 0)),
        (lambda b: b.scale(2, True, "NEAREST"), PICTURE.repeat(2, 0).repeat(2, 1)[2:6, 3:9]),
    ],
)
def test_what_is_done_to_images(kind, act, expected):
    """The actions do the same as NumPy; arrays stay arrays."""
    found = act(batch(kind)).images

    assert all((expected == image).all() for image in arrays(found))
    assert isinstance(found[0], np.ndarray) == (kind == "array")


def test_grey_images_keep_their_axis():
    """Images of one channel keep its axis."""
    assert (2, 3, 4, 1) == batch("array", PICTURE[..., :1]).crop((0, 0), (3, 4)).images.shape


@pytest.mark.parametrize(
    ("act", "why"),
    [
        (lambda b: b.crop((0, 0), (5, 5)), "shape should be at most"),
        (lambda b: b.crop((3, 0), (2, 2)), "should be inside the image"),
        (lambda b: b.crop("middle", (2, 2)), "origin should be"),
        (lambda b: b.flip("tb"), "mode should be"),
        (lambda b: b.resize((2, 2), resample="best"), "resample should be one of NEAREST"),
    ],
)
def test_what_cannot_be_done(act, why):
    """Wrong arguments are errors that say what they should be."""
    with pytest.raises(RuntimeError, match=why):
        act(batch("array"))


def test_arrays_of_numbers_that_are_no_pixels():
    """Arrays of floats are an error; they are not rounded."""
    with pytest.raises(RuntimeError, match="arrays of uint8"):
        batch("array", PICTURE / 2.0).flip()


def test_a_random_crop_is_of_the_item():
    """Each item has its own crop, the same for the same seed."""

    def crops():
        dataset = Dataset(20, ImagesBatch, preloaded={"images": np.stack([PICTURE] * 20)})
        (found,) = dataset.p.crop("random", (1, 1)).gen_batch(20, shuffle=-1, n_iters=1)
        return found.images.ravel().tolist()

    assert crops() == crops()
    assert 5 < len(set(crops()))


def test_masks_are_turned_with_their_images():
    """An image and its mask are rotated by the same angle."""
    picture = np.arange(16, dtype=np.uint8).reshape(4, 4)
    images = np.stack([picture] * 10)
    dataset = Dataset(10, ImagesBatch, preloaded={"images": images, "masks": images + 100})

    found = dataset.p.rotate(P(R([0, 90, 180])), src=["images", "masks"], p=0.8).next_batch(10, seed=3)

    assert (found.masks == found.images + 100).all()
    assert 1 < len({image.tobytes() for image in found.images})


def test_images_from_files(tmp_path):
    """Images are loaded from files and dumped to files by id, and converted to arrays."""
    for name in ("a", "b"):
        Image.fromarray(PICTURE).save(tmp_path / f"{name}.png")
    index = FilesIndex(path=tmp_path / "*.png")

    pipeline = Dataset(index, ImagesBatch).p.load(fmt="image", mode="L").dump(str(tmp_path / "out"), "image")
    found = pipeline.to_array().next_batch(2)

    assert (2, 4, 6, 1) == found.images.shape
    back = ImagesBatch(index).load(str(tmp_path / "out"), "image")
    assert (4, 6) == np.asarray(back.images[1]).shape
    assert back.images[0].mode == "L"
