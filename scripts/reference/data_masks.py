"""Part of data_oracle.py: the opacity of pictures as the mask of the loss, which came with v0.9."""

import hashlib

import numpy as np
import torch

from data_pictures import PICTURES
from data_pixels import GRID
from sd_scripts import Reference

NAMES = [
    "main/rgba.png",
    "main/alpha.webp",
    "main/grey_alpha.png",
    "main/palette_alpha.png",
    "main/rgb.png",
    "main/palette.png",
    "main/baseline.jpg",
]
# Shrinks every picture, so that it is the area resize in both versions.
RESOLUTION, STEPS = (32, 32), 8


def digest(mask: np.ndarray) -> dict:
    """Size, SHA-256 of the bytes [h, w], and the values in the middles of a grid of 4 x 4 fields."""
    height, width = mask.shape
    rows, columns = ([(2 * i + 1) * side // (2 * GRID) for i in range(GRID)] for side in (height, width))
    return {
        "size": [width, height],
        "sha256": hashlib.sha256(np.ascontiguousarray(mask).tobytes()).hexdigest(),
        "grid": mask[np.ix_(rows, columns)].ravel().tolist(),
    }


def record_masks(_: Reference, newer: Reference) -> dict:
    pictures = {}
    for name in NAMES:
        pixels = newer.train.load_image(str(PICTURES / name), True)
        height, width = pixels.shape[:2]
        manager = newer.train.BucketManager(True, RESOLUTION, 16, 64, STEPS)
        bucket, resized, _ = manager.select_bucket(width, height)
        cropped, _, _ = newer.train.trim_and_resize_if_required(False, pixels, bucket, resized)
        mask = torch.from_numpy(cropped[..., 3].astype(np.float32) / 255.0)
        loss = torch.ones(1, 1, bucket[1] // 8, bucket[0] // 8)
        weights = newer.custom.apply_masked_loss(loss, {"alpha_masks": mask[None]})[0, 0]
        pictures[name] = {
            "decoded": digest(pixels[..., 3]),
            "cropped": {"resized": list(resized), **digest(cropped[..., 3])},
            "lossMask": [[float(f"{x:.7g}") for x in row] for row in weights.tolist()],
        }
    return {"resolution": RESOLUTION, "steps": STEPS, "noUpscale": True, "pictures": pictures}
