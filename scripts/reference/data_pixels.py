"""Part of data_oracle.py: pixels of every picture as the reference decodes, resizes and crops them."""

import hashlib

import numpy as np
from PIL import Image, ImageOps

from data_pictures import PICTURES
from sd_scripts import Reference

# By name: resolution, minimum, maximum, steps, and whether pictures are never enlarged.
PLANS = {
    "512": ((512, 512), 256, 1024, 64, False),
    "128": ((128, 128), 64, 256, 16, False),
    "128 noUpscale": ((128, 128), 64, 256, 16, True),
}
GRID = 4


def digest(pixels: np.ndarray) -> dict:
    """Size, SHA-256 of the bytes [h, w, 3], and r, g, b in the middles of a grid of 4 x 4 fields."""
    height, width = pixels.shape[:2]
    rows, columns = ([(2 * i + 1) * side // (2 * GRID) for i in range(GRID)] for side in (height, width))
    values = pixels[np.ix_(rows, columns)].reshape(-1, 3)
    return {
        "size": [width, height],
        "sha256": hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest(),
        "grid": values.tolist(),
    }


class Trimmer:
    """The reference's resizing and cropping, without a data set around it."""

    def __init__(self, reference: Reference):
        self.method = reference.train.BaseDataset.trim_and_resize_if_required
        self.subset = type("Subset", (), {"random_crop": False})()

    def __call__(self, pixels: np.ndarray, bucket, resized) -> np.ndarray:
        return self.method(self, self.subset, pixels, bucket, resized)


def crop_to_bucket(reference: Reference, pixels: np.ndarray, plan) -> dict | None:
    resolution, minimum, maximum, steps, no_upscale = plan
    manager = reference.train.BucketManager(no_upscale, resolution, minimum, maximum, steps)
    if not no_upscale:
        manager.make_buckets()
    height, width = pixels.shape[:2]
    if no_upscale and min(width, height) < steps:
        return None
    bucket, resized, _ = manager.select_bucket(width, height)
    if resized[0] * resized[1] > 2**21:
        return None
    return {"resized": list(resized), **digest(Trimmer(reference)(pixels, bucket, resized))}


def record_pixels(reference: Reference) -> dict:
    pictures = {}
    passed_over = (".caption", ".txt", ".json", ".npz", ".gif")
    names = sorted(path for path in PICTURES.rglob("*") if path.suffix not in passed_over and path.is_file())
    for path in names:
        image = Image.open(path)
        entry = {"mode": image.mode, "decoded": None}
        pixels = reference.train.BaseDataset.load_image(None, str(path))
        entry["decoded"] = digest(pixels)
        entry["cropped"] = {name: crop_to_bucket(reference, pixels, plan) for name, plan in PLANS.items()}
        if image.getexif().get(0x0112, 1) != 1:
            upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
            entry["upright"] = {
                "decoded": digest(upright),
                "cropped": {name: crop_to_bucket(reference, upright, plan) for name, plan in PLANS.items()},
            }
        pictures[path.relative_to(PICTURES).as_posix()] = entry
    plans = {
        name: {"resolution": r, "minimum": low, "maximum": high, "steps": steps, "noUpscale": no_upscale}
        for name, (r, low, high, steps, no_upscale) in PLANS.items()
    }
    return {"plans": plans, "pictures": pictures}
