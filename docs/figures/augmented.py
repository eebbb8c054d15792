"""Draw a batch of augmented photos: random crops, flips and brightness of the two photos of scikit-learn. To run it::

python docs/figures/augmented.py
"""

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images
from style import beside

from batchup import ArrayDataSource, Loader

SIDE, GAP, COLUMNS = 88, 6, 6
GREY = 128  # can be seen on white and on black


def cropped(photo, rng):
    """A random part of a photo, of a random size."""
    side = rng.integers(160, 420)
    top, left = rng.integers(0, photo.shape[0] - side), rng.integers(0, photo.shape[1] - side)
    part = Image.fromarray(photo[top : top + side, left : left + side])
    return np.asarray(part.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def augment(photos, rng):
    crops = np.stack([cropped(photo, rng) for photo in photos])
    flipped = rng.uniform(size=len(crops)) < 0.5
    crops[flipped] = crops[flipped, :, ::-1]
    brightness = rng.uniform(0.6, 1.4, (len(crops), 1, 1, 1))
    return ((crops * brightness).clip(0, 255).astype(np.uint8),)


def main():
    photos = np.stack(load_sample_images().images)
    source = ArrayDataSource([photos], indices=np.arange(12) % 2).random_map(augment)
    (batch,) = Loader(source, 12, shuffle=7).batch(epoch=0, step=0)
    step = SIDE + GAP
    sheet = np.full((len(batch) // COLUMNS * step - GAP, COLUMNS * step - GAP, 3), GREY, np.uint8)
    for i, photo in enumerate(batch):
        top, left = step * (i // COLUMNS), step * (i % COLUMNS)
        sheet[top : top + SIDE, left : left + SIDE] = photo
    picture = Image.fromarray(sheet).quantize(128)  # few colours make a small file
    picture.save(beside(__file__, ".png"), optimize=True)
    print("saved augmented.png")


if __name__ == "__main__":
    main()
