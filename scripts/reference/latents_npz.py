"""Writes test/fixtures/latents_npz/: cached latents in the layouts of other trainers, by np.savez, and one with a header of old NumPy.

The values are repeated in test/data/latentFiles.test.ts. Needs: numpy. Run from the repository root: python scripts/reference/latents_npz.py
"""

import io
import zipfile
from pathlib import Path

import numpy as np

FOLDER = Path("test/fixtures/latents_npz")
FOLDER.mkdir(parents=True, exist_ok=True)


def latent(seed: int) -> np.ndarray:
    """[4, 3, 5]: multiples of 1/8, the same in float16."""
    return ((np.arange(60, dtype=np.float32) * 7 + seed) % 33 - 16).reshape(4, 3, 5) / np.float32(8)


np.savez(FOLDER / "plain.npz", latent(0))
np.savez(FOLDER / "plain_flip.npz", latent(1))
np.savez(FOLDER / "half.npz", latent(0).astype(np.float16))
np.savez(FOLDER / "newer.npz", latents=latent(0), original_size=np.array([100, 70]), crop_ltrb=np.array([1, 0, 41, 24]),
         latents_flipped=latent(1), alpha_mask=(np.arange(24 * 40, dtype=np.float32) % 3 / 2).reshape(24, 40))
np.savez(FOLDER / "infinite.npz", np.full((4, 3, 5), np.inf, np.float32))

# NumPy before 1.14 padded headers to 16 bytes.
header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (4, 3, 5), }"
header += b" " * (-(10 + len(header) + 1) % 16) + b"\n"
member = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + latent(0).tobytes()
assert np.array_equal(np.load(io.BytesIO(member)), latent(0))
with zipfile.ZipFile(FOLDER / "old.npz", "w") as archive:
    archive.writestr(zipfile.ZipInfo("arr_0.npy"), member)
print(*sorted(path.name for path in FOLDER.iterdir()))
