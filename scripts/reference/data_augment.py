"""Part of data_oracle.py: random crops, crops around faces and changes of colour with scripted randomness."""

import base64
import tempfile
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import torch
from PIL import Image

from data_pictures import pattern
from data_pixels import digest
from sd_scripts import Reference, quiet, scripted

# (resized, bucket)
CROPS = [
    ((683, 384), (640, 384)),
    ((384, 683), (384, 640)),
    ((100, 90), (64, 64)),
    ((64, 64), (64, 64)),
    ((65, 200), (64, 64)),
]

# (picture, resolution): bucketing off
UNCACHED = [
    ((97, 61), (64, 48)),
    ((64, 90), (64, 64)),
    ((80, 48), (64, 48)),
    ((64, 48), (64, 48)),
    ((60, 90), (64, 64)),
    ((200, 150), (64, 128)),
]

# (picture, face as centre and size, resolution, range, random_crop)
FACES = [
    ((200, 150), (100, 60, 30, 40), (64, 64), (1.0, 3.0), False),
    ((200, 150), (100, 60, 30, 40), (64, 64), (1.0, 1.0), False),
    ((200, 150), (100, 60, 50, 40), (64, 96), (1.0, 2.0), True),
    ((200, 150), (10, 10, 30, 40), (64, 64), (1.0, 3.0), False),
    ((200, 150), (190, 140, 30, 40), (64, 64), (1.0, 3.0), True),
    ((200, 150), (100, 60, 8, 6), (128, 128), (2.0, 4.0), False),
    ((200, 150), (100, 60, 140, 120), (64, 64), (0.5, 1.0), False),
    ((200, 150), (100, 60, 45, 41), (128, 64), (1.0, 3.0), False),
    ((64, 64), (30, 30, 20, 20), (64, 64), (1.0, 3.0), True),
    ((64, 80), (30, 30, 20, 20), (64, 64), (1.0, 3.0), True),
    ((200, 150), (0, 60, 30, 40), (64, 64), (1.0, 3.0), True),
    ((50, 40), (20, 20, 10, 10), (64, 64), (1.0, 3.0), False),
]
HUES = [-8.0, -5.3, -1.0, -0.25, 0.0, 0.5, 1.0, 3.99, 7.5, 7.9999]
GAMMAS = [0.95, 0.97, 0.9999, 1.0, 1.01, 1.03, 1.0499]
REPEATS = 3


def crop_of(whole: np.ndarray, part: np.ndarray) -> list[int]:
    """Left and top of a window in a picture that shows no window twice."""
    height, width = part.shape[:2]
    fits = [
        [left, top]
        for top in range(whole.shape[0] - height + 1)
        for left in range(whole.shape[1] - width + 1)
        if (whole[top, left] == part[0, 0]).all() and (whole[top : top + height, left : left + width] == part).all()
    ]
    assert len(fits) == 1, fits
    return fits[0]


def fetch(reference: Reference, size, name: str, resolution, options: dict, script: str) -> dict:
    """One picture through a data set without buckets, as a loader fetches it."""
    width, height = size
    resized: list[np.ndarray] = [pattern(width, height)]

    def resize(image, dsize, **others):
        resized.append(cv2.resize(image, dsize, **others))
        return resized[-1]

    with tempfile.TemporaryDirectory() as folder, quiet():
        Image.fromarray(resized[0]).save(Path(folder, name))
        values = {"image_dir": folder, "class_tokens": "a face", **options}
        subset = reference.train.DreamBoothSubset(**asdict(reference.config.DreamBoothSubsetParams(**values)))
        defaults = asdict(reference.config.DreamBoothDatasetParams(resolution=resolution))
        parameters = defaults | {"tokenizer": SimpleNamespace(model_max_length=77)}
        dataset = reference.train.DreamBoothDataset([subset], **parameters)
        dataset.make_buckets()
        dataset.image_transforms = torch.from_numpy
        dataset.get_input_ids = lambda _: torch.zeros(77)
        usual, reference.train.cv2 = reference.train.cv2, SimpleNamespace(resize=resize, INTER_AREA=cv2.INTER_AREA)
        try:
            with scripted(reference.train, script) as generator:
                image = dataset[0]["images"][0].numpy().astype(np.uint8)
        except AssertionError as error:
            # What went wrong, in its English half, without the path.
            return {"draws": generator.draws, "error": str(error).split(" / ")[0]}
        finally:
            reference.train.cv2 = usual
    whole = resized[-1]
    return {
        "draws": generator.draws,
        "resized": [whole.shape[1], whole.shape[0]],
        "crop": crop_of(whole, image),
        "pixels": digest(image),
    }


def record_bucketed(reference: Reference) -> list[dict]:
    cases = []
    for at, (resized, bucket) in enumerate(CROPS):
        rows, columns = np.indices((resized[1], resized[0]), dtype=np.int32)
        for repeat in range(REPEATS):
            with scripted(reference.train, f"crop/{at}/{repeat}") as generator:
                window = reference.train.BaseDataset.trim_and_resize_if_required(
                    None, SimpleNamespace(random_crop=True), np.dstack([columns, rows]), bucket, resized
                )
            cases.append(
                {"resized": resized, "bucket": bucket, "draws": generator.draws, "crop": window[0, 0].tolist()}
            )
    return cases


def record_colours(reference: Reference) -> dict:
    """The two changes of the reference's augmentation, applied with given amounts."""
    one_of = reference.train.AugHelper().augmentors[(True, False)].transforms[0]
    hue, gamma = one_of.transforms
    levels = range(0, 240, 10)
    greys_and_reds = np.array([[[v, v, v] for v in levels], [[255, 0, v] for v in levels]])
    picture = np.concatenate([pattern(24, 16), greys_and_reds]).astype(np.uint8)
    values = np.arange(256, dtype=np.uint8)[None]
    encode = lambda image: base64.b64encode(np.ascontiguousarray(image).tobytes()).decode()  # noqa: E731
    return {
        "albumentations": reference.train.albu.__version__,
        "probability": one_of.p,
        "hueLimits": hue.hue_shift_limit,
        "gammaLimits": [limit / 100 for limit in gamma.gamma_limit],
        "size": [picture.shape[1], picture.shape[0]],
        "picture": encode(picture),
        "hue": [
            {"shift": x, "pixels": encode(hue.apply(picture, hue_shift=x, sat_shift=0, val_shift=0))} for x in HUES
        ],
        "gamma": [{"gamma": x, "table": gamma.apply(values, gamma=x)[0].tolist()} for x in GAMMAS],
    }


def record_augmentations(reference: Reference) -> dict:
    uncached, faces = [], []
    for at, (size, resolution) in enumerate(UNCACHED):
        for random_crop in (True, False):
            fetched = fetch(reference, size, "a.png", resolution, {"random_crop": random_crop}, f"uncached/{at}")
            uncached.append({"size": size, "resolution": resolution, "randomCrop": random_crop, **fetched})
    for at, (size, face, resolution, face_range, random_crop) in enumerate(FACES):
        for repeat in range(REPEATS):
            options = {"random_crop": random_crop, "face_crop_aug_range": face_range}
            name = "a_" + "_".join(f"{n:04}" for n in face) + ".png"
            fetched = fetch(reference, size, name, resolution, options, f"face/{at}/{repeat}")
            faces.append(
                {
                    "size": size,
                    "face": face,
                    "resolution": resolution,
                    "range": face_range,
                    "randomCrop": random_crop,
                    **fetched,
                }
            )
    return {
        "bucketed": record_bucketed(reference),
        "uncached": uncached,
        "faces": faces,
        "colours": record_colours(reference),
    }
