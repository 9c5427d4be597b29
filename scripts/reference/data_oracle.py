"""Writes to test/fixtures/data_oracle/ what the reference, kohya-ss/sd-scripts, makes of pictures and captions.

    python data_oracle.py CHECKOUT NEWER_CHECKOUT [part ...]

CHECKOUT is v0.6.6 of https://github.com/kohya-ss/sd-scripts, NEWER_CHECKOUT v0.9.1 (captions with options that came
later, and a newer layout of latents). Parts: see PARTS; without names, all. data_pictures.py makes the pictures and comes
first.
"""

import os
import sys
from pathlib import Path

from data_augment import record_augmentations
from data_buckets import record_buckets
from data_captions import record_captions, record_sources
from data_latents import record_latents
from data_masks import record_masks
from data_pictures import ROOT
from data_pixels import record_pixels
from data_sets import record_datasets
from data_settings import record_settings
from data_tokens import record_tokens
from formula import write_json
from sd_scripts import Reference

ERA, NEWER = "v0.6.6", "v0.9.1"
# fixture: function, and whether it takes the newer checkout too
PARTS = {
    "buckets": (record_buckets, False),
    "latents": (record_latents, True),
    "settings": (record_settings, False),
    "datasets": (record_datasets, False),
    "pixels": (record_pixels, False),
    "masks": (record_masks, True),
    "sources": (record_sources, True),
    "captions": (record_captions, True),
    "tokens": (record_tokens, False),
    "augmentations": (record_augmentations, False),
}


def main(checkout: Path, newer_checkout: Path, names: list[str]) -> None:
    os.chdir(ROOT)  # the configurations name folders relative to it
    newer = Reference(newer_checkout)
    reference = Reference(checkout)
    for name in names or PARTS:
        record, takes_newer = PARTS[name]
        value = record(reference, newer) if takes_newer else record(reference)
        origin = f"sd-scripts {ERA} and {NEWER}" if takes_newer else f"sd-scripts {ERA}"
        write_json(ROOT / f"{name}.json", {"script": "scripts/reference/data_oracle.py", "reference": origin, **value})


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve(), sys.argv[3:])
