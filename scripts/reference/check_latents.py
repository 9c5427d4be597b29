"""Opens the latents that scripts/writeSamples.mjs wrote in NumPy, and compares every value with those by np.savez.

Needs: numpy. Run from the repository root: python scripts/reference/check_latents.py FOLDER
"""

import hashlib
import sys
import zipfile
from pathlib import Path

import numpy as np

FOLDER = Path(sys.argv[1] if len(sys.argv) > 1 else "out/written")
expected = np.load(Path("test/fixtures/latents_npz/plain.npz"))["arr_0"]

ours = np.load(FOLDER / "latents.npz")
assert ours.files == ["arr_0"] and ours["arr_0"].dtype == np.float32 and ours["arr_0"].flags.c_contiguous
assert np.array_equal(ours["arr_0"], expected) and ours["arr_0"].shape == (4, 3, 5)
with zipfile.ZipFile(FOLDER / "latents.npz") as archive:
    member = archive.getinfo("arr_0.npy")
    assert archive.testzip() is None and member.compress_type == zipfile.ZIP_STORED
    theirs = zipfile.ZipFile("test/fixtures/latents_npz/plain.npz")
    assert archive.read(member) == theirs.read("arr_0.npy"), "the array file has other bytes than NumPy's"
print("latents.npz: the bytes of np.savez in its member, stored")

(path,) = (FOLDER / "store").glob("??/*.npz")
entry = np.load(path)
assert set(entry.files) == {"latents", "key", "digest"}
assert np.array_equal(entry["latents"], expected)
assert entry["key"].tobytes().hex() == path.stem and path.parent.name == path.stem[:2]
digest = hashlib.sha256(b'["latents","F32",[4,3,5]]\n' + expected.tobytes()).digest()
assert entry["digest"].tobytes() == digest
print(f"{path.name}: latents, key and digest are right")
