"""Part of data_oracle.py: data sets as the reference builds them from test/fixtures/data_oracle/configs/."""

import argparse
import random
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image, ImageOps

from data_pictures import ROOT
from sd_scripts import Reference, quiet


def load_group(reference: Reference, name: str):
    """The group of data sets of one configuration, as train_network.py builds it."""
    sanitizer = reference.config.ConfigSanitizer(True, True, True)
    user_config = reference.config.load_user_config(str(ROOT / "configs" / f"{name}.toml"))
    arguments = argparse.Namespace(max_token_length=None, prior_loss_weight=0.5)
    tokenizer = SimpleNamespace(model_max_length=77)
    random.seed(1)
    with quiet():
        blueprint = reference.config.BlueprintGenerator(sanitizer).generate(user_config, arguments, tokenizer=tokenizer)
        return reference.config.generate_dataset_group_by_blueprint(blueprint.dataset_group)


def crop_offset(dataset, subset, info) -> list[int] | None:
    """Left and top of the window that the reference cuts, read off a picture of coordinates."""
    width, height = info.resized_size
    rows, columns = np.indices((height, width), dtype=np.int32)
    window = dataset.trim_and_resize_if_required(
        subset, np.dstack([columns, rows]), info.bucket_reso, info.resized_size
    )
    return window[0, 0].tolist()


def describe_image(dataset, info) -> dict:
    subset = dataset.image_to_subset[info.image_key]
    described = {
        "key": info.image_key,
        "path": info.absolute_path,
        "size": list(info.image_size),
        "bucket": list(info.bucket_reso),
        "resized": list(info.resized_size),
        "crop": crop_offset(dataset, subset, info),
        "caption": info.caption,
        "repeats": info.num_repeats,
        "isReg": info.is_reg,
    }
    if info.latents_npz is not None:
        described["latents"] = [info.latents_npz, info.latents_npz_flipped]
    return described


def describe_dataset(reference: Reference, dataset) -> dict:
    return {
        "kind": type(dataset).__name__,
        "resolution": [dataset.width, dataset.height],
        "enableBucket": dataset.enable_bucket,
        "batchSize": dataset.batch_size,
        "batchCount": len(dataset),
        "trainImageCount": dataset.num_train_images,
        "regImageCount": dataset.num_reg_images,
        "subsets": [{"imageDir": subset.image_dir, "imageCount": subset.img_count} for subset in dataset.subsets],
        "bucketCounts": [
            [*reso, len(bucket)] for reso, bucket in zip(dataset.bucket_manager.resos, dataset.bucket_manager.buckets)
        ],
        "bucketInfo": dataset.bucket_info,
        "tagFrequency": dataset.tag_frequency,
        "images": [describe_image(dataset, info) for info in dataset.image_data.values()],
    }


def describe_group(reference: Reference, name: str) -> dict:
    try:
        group = load_group(reference, name)
    except Exception as error:
        return {"error": str(error).split(" / ")[0]}  # the English half
    return {
        "batchCount": len(group),
        "trainImageCount": group.num_train_images,
        "regImageCount": group.num_reg_images,
        "datasets": [describe_dataset(reference, dataset) for dataset in group.datasets],
    }


def describe_upright(reference: Reference, name: str) -> dict:
    """The same with the sizes of upright pictures; the reference itself does not look at EXIF orientation."""
    kind = reference.train.BaseDataset
    usual = kind.get_image_size
    kind.get_image_size = lambda _, path: ImageOps.exif_transpose(Image.open(path)).size
    try:
        return describe_group(reference, name)
    finally:
        kind.get_image_size = usual


FOLDERS = [
    "20_sls frog",
    "5_a_b c",
    "10",
    "10_",
    "x_cat",
    "0_none",
    "-1_negative",
    "07_seven",
    "+4_plus",
    " 2_space",
    "2.5_x",
    "1e1_x",
    "_3_x",
]


def record_folders(reference: Reference) -> list[dict]:
    """What becomes of each folder name under `--train_data_dir`; null for names that are passed over."""
    found = []
    for name in FOLDERS:
        with tempfile.TemporaryDirectory() as parent, quiet():
            Path(parent, name).mkdir()
            subsets = reference.config.generate_dreambooth_subsets_config_by_subdirs(parent)
        subset = subsets[0] if subsets else None
        found.append(
            {
                "folder": name,
                "subset": subset and {"numRepeats": subset["num_repeats"], "classTokens": subset["class_tokens"]},
            }
        )
    return found


def record_datasets(reference: Reference) -> dict:
    configs = {}
    for path in sorted((ROOT / "configs").glob("*.toml")):
        configs[path.stem] = described = describe_group(reference, path.stem)
        upright = describe_upright(reference, path.stem)
        if upright != described:
            configs[path.stem] = {**described, "upright": upright}
    return {"configs": configs, "folders": record_folders(reference)}
