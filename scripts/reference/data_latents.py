"""Part of data_oracle.py: files of latents as the reference writes them, in both of its layouts."""

import hashlib
from types import SimpleNamespace

import numpy as np
import torch

from data_pictures import PICTURES
from formula import formula
from sd_scripts import Reference, quiet


def latents(name: str, height: int, width: int) -> torch.Tensor:
    return torch.from_numpy(formula(name, [4, height, width], "uniform", 3.0))


class ScriptedVae:
    """In place of a VAE: 'encodes' a batch of pictures as latents by formula; counts its batches."""

    device, dtype = "cpu", torch.float32

    def __init__(self):
        self.batches = 0

    def encode(self, images: torch.Tensor):
        count, _, height, width = images.shape
        made = torch.stack([latents(f"vae/{self.batches}/{i}", height // 8, width // 8) for i in range(count)])
        self.batches += 1
        return SimpleNamespace(latent_dist=SimpleNamespace(sample=lambda: made))


def record_latents(reference: Reference, newer: Reference) -> dict:
    """Old layout: `arr_0`, written by the caching of a data set of one folder. New: by the saving function."""
    folder = PICTURES / "latents"
    for path in folder.glob("*.npz"):
        path.unlink()
    subset = reference.train.DreamBoothSubset(
        "pictures/latents", False, None, ".caption", 1, False, 0, False, True, None, False, 0.0, 0, 0.0, 1, 0
    )
    tokenizer = SimpleNamespace(model_max_length=77)
    with quiet():
        made = reference.train.DreamBoothDataset(
            [subset], 1, tokenizer, None, (64, 64), False, 0, 0, 0, False, 1.0, False
        )
        made.make_buckets()
        made.image_transforms = lambda image: torch.from_numpy(image).permute(2, 0, 1).float() / 127.5 - 1
        made.cache_latents(ScriptedVae(), cache_to_disk=True)
    # Two that have no picture, of the same layout.
    for name, width in [("square1", 8), ("wide", 12)]:
        for suffix in ("", "_flip"):
            np.savez(folder / f"{name}{suffix}.npz", latents(f"{name}{suffix}", 8, width).numpy())
    newer.train.save_latents_to_disk(
        str(folder / "newer.npz"), latents("newer", 8, 12), (97, 61), (0, 0, 96, 64), latents("newer/flipped", 8, 12)
    )
    newer.train.save_latents_to_disk(
        str(folder / "masked.npz"),
        latents("masked", 8, 8),
        (64, 64),
        (0, 0, 64, 64),
        None,
        torch.linspace(0, 1, 64 * 64).reshape(64, 64),
    )
    files = {}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as archive:
            files[path.name] = {
                key: {
                    "dtype": str(value.dtype),
                    "shape": value.shape,
                    "sha256": hashlib.sha256(value.tobytes()).hexdigest(),
                    "first": [float(x) for x in value.ravel()[:4]],
                }
                for key, value in archive.items()
            }
    return {"files": files}
