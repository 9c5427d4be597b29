"""Part of data_oracle.py: lists of buckets, and the bucket of each of about 200 sizes of pictures."""

from formula import hash24
from sd_scripts import Reference

# (resolution, minimum, maximum, steps)
LISTS = [
    ((512, 512), 256, 1024, 64),
    ((768, 768), 256, 1024, 64),
    ((512, 768), 256, 1024, 64),
    ((768, 768), 384, 1280, 64),
    ((512, 512), 256, 1024, 128),
    ((512, 512), 256, 2048, 64),
    ((512, 512), 300, 1024, 64),
    ((512, 512), 320, 960, 8),
    ((1024, 1024), 512, 2048, 64),
    ((640, 448), 192, 1536, 32),
    ((500, 500), 256, 1000, 64),
    ((128, 128), 64, 256, 16),
    ((64, 64), 64, 64, 64),
]

SIZES = [
    (1920, 1080), (1080, 1920), (800, 1200), (300, 400), (512, 640), (3000, 500), (500, 3000), (320, 320),
    (512, 512), (513, 513), (511, 512), (500, 500), (640, 400), (1, 1), (1, 1000), (1000, 1), (33, 517), (64, 64),
    (63, 64), (4000, 3000), (8192, 64), (768, 512), (1023, 257), (256, 1024), (448, 576), (455, 585), (2048, 2048),
    (7680, 4320), (600, 1), (100, 10000), (961, 273), (272, 964),
]  # fmt: skip


def sizes() -> list[tuple[int, int]]:
    """Sizes that people have, and 160 spread evenly over shapes from 1:8 to 8:1 and areas up to 4 megapixels."""
    shape, area = hash24("bucket shapes", 160) / 2**24, hash24("bucket areas", 160) / 2**24
    drawn = []
    for s, a in zip(shape, area):
        ratio, pixels = 8.0 ** (2 * s - 1), 64.0**2 * (1000.0**a)
        drawn.append((round(float((pixels * ratio) ** 0.5)), round(float((pixels / ratio) ** 0.5))))
    return list(dict.fromkeys(SIZES + drawn))


def record_buckets(reference: Reference) -> dict:
    lists, choices = [], []
    for resolution, minimum, maximum, steps in LISTS:
        found = reference.model.make_bucket_resolutions(resolution, minimum, maximum, steps)
        lists.append(
            {"resolution": resolution, "minimum": minimum, "maximum": maximum, "steps": steps, "buckets": found}
        )
    for at in (0, 2, 3, 8, 11):
        resolution, minimum, maximum, steps = LISTS[at]
        for no_upscale in (False, True):
            manager = reference.train.BucketManager(no_upscale, resolution, minimum, maximum, steps)
            if not no_upscale:
                manager.make_buckets()
            rows = []
            for width, height in sizes():
                try:
                    bucket, resized, error = manager.select_bucket(width, height)
                    rows.append([width, height, *map(int, bucket), *resized, float(error)])
                except ZeroDivisionError:
                    rows.append([width, height, None])
            choices.append({"list": at, "noUpscale": no_upscale, "rows": rows})
    return {"lists": lists, "choices": choices}
