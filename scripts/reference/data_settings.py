"""Part of data_oracle.py: which configurations of data sets the reference accepts, and what it makes of them."""

import argparse
from dataclasses import asdict

import toml

from sd_scripts import Reference, quiet

BOTH = (True, True, True)
# What a trainer supports: DreamBooth, fine-tuning, dropout of captions.
FINE_TUNE, TRAIN_DB, INVERSION = (False, True, True), (True, False, True), (True, True, False)

SUBSET = '[[datasets]]\nresolution = 64\n[[datasets.subsets]]\nimage_dir = "a"\n'
METADATA = '[[datasets]]\nresolution = 64\n[[datasets.subsets]]\nmetadata_file = "a.json"\n'

# (name, configuration, what the trainer supports, command-line values)
CASES = [
    ("defaults", SUBSET, BOTH, {}),
    ("defaults of fine-tuning", METADATA, BOTH, {}),
    ("the subset wins over all", "[general]\nnum_repeats = 2\n" + SUBSET + "num_repeats = 4\n", BOTH, {"dataset_repeats": 5}),
    ("the general table wins over the command line", "[general]\nkeep_tokens = 2\n" + SUBSET, BOTH, {"keep_tokens": 5}),
    ("the data set wins over the general table", "[general]\nflip_aug = true\n" + SUBSET.replace("64", "64\nflip_aug = false"), BOTH, {}),
    ("false wins over a switch", SUBSET + "flip_aug = false\n", BOTH, {"flip_aug": True}),
    ("a switch is the last resort", SUBSET, BOTH, {"flip_aug": True, "train_batch_size": 3, "dataset_repeats": 7}),
    ("zero wins over the command line", SUBSET + "keep_tokens = 0\n", BOTH, {"keep_tokens": 5}),
    ("an empty text wins over the command line", SUBSET + 'caption_extension = ""\n', BOTH, {"caption_extension": ".txt"}),
    ("class_tokens above the subset", '[general]\nclass_tokens = "g"\n' + SUBSET, BOTH, {}),
    ("class_tokens in a data set", SUBSET.replace("64", '64\nclass_tokens = "d"'), BOTH, {}),
    ("is_reg above the subset", "[general]\nis_reg = true\n" + SUBSET, BOTH, {}),
    ("image_dir above the subset", '[general]\nimage_dir = "x"\n' + SUBSET, BOTH, {}),
    ("resolution in a subset", SUBSET + "resolution = 64\n", BOTH, {}),
    ("a pair as resolution", SUBSET.replace("64", "[96, 64]"), BOTH, {}),
    ("three numbers as resolution", SUBSET.replace("64", "[96, 64, 32]"), BOTH, {}),
    ("a float as resolution", SUBSET.replace("64", "64.0"), BOTH, {}),
    ("a text as resolution", SUBSET.replace("64", '"64,64"'), BOTH, {}),
    ("a float as repeats", SUBSET + "num_repeats = 2.0\n", BOTH, {}),
    ("true as repeats", SUBSET + "num_repeats = true\n", BOTH, {}),
    ("one as flip_aug", SUBSET + "flip_aug = 1\n", BOTH, {}),
    ("an int as dropout rate", SUBSET + "caption_dropout_rate = 1\n", BOTH, {}),
    ("a rate above one", SUBSET + "caption_dropout_rate = 1.5\n", BOTH, {}),
    ("ints as face range", SUBSET + "face_crop_aug_range = [1, 3]\n", BOTH, {}),
    ("floats as face range", SUBSET + "face_crop_aug_range = [1.0, 3.0]\n", BOTH, {}),
    ("a face range upside down", SUBSET + "face_crop_aug_range = [3.0, 1.0]\n", BOTH, {}),
    ("a fraction as warm-up", SUBSET + "token_warmup_step = 0.25\ntoken_warmup_min = 2\n", BOTH, {}),
    ("an unknown key", SUBSET + "flip_augment = true\n", BOTH, {}),
    ("an unknown table", "[extra]\na = 1\n" + SUBSET, BOTH, {}),
    ("an option of the command line", SUBSET + "prior_loss_weight = 0.5\n", BOTH, {}),
    ("no image_dir", "[[datasets]]\nresolution = 64\n[[datasets.subsets]]\nnum_repeats = 2\n", BOTH, {}),
    ("no subsets", "[[datasets]]\nresolution = 64\n", BOTH, {}),
    ("an empty list of subsets", "[[datasets]]\nresolution = 64\nsubsets = []\n", BOTH, {}),
    ("no data sets", "[general]\nflip_aug = true\n", BOTH, {}),
    ("both kinds in one data set", SUBSET + '[[datasets.subsets]]\nmetadata_file = "a.json"\n', BOTH, {}),
    ("both kinds in two data sets", SUBSET + METADATA, BOTH, {}),
    ("is_reg of fine-tuning", METADATA + "is_reg = true\n", BOTH, {}),
    ("caption_extension of fine-tuning", METADATA + 'caption_extension = ".txt"\n', BOTH, {}),
    ("caption_extension above fine-tuning", '[general]\ncaption_extension = ".txt"\n' + METADATA, BOTH, {}),
    ("caption_extension in a data set of fine-tuning", METADATA.replace("64", '64\ncaption_extension = ".txt"'), BOTH, {}),
    ("folders for fine_tune.py", SUBSET, FINE_TUNE, {}),
    ("class_tokens for fine_tune.py", '[general]\nclass_tokens = "g"\n' + METADATA, FINE_TUNE, {}),
    ("metadata for train_db.py", METADATA, TRAIN_DB, {}),
    ("metadata with a folder for train_db.py", METADATA + 'image_dir = "a"\n', TRAIN_DB, {}),
    ("dropout for textual inversion", SUBSET + "caption_dropout_rate = 0.1\n", INVERSION, {}),
    ("tag dropout for textual inversion", "[general]\ncaption_tag_dropout_rate = 0.1\n" + SUBSET, INVERSION, {}),
    ("an option of captions that came later", SUBSET + 'caption_prefix = "p"\n', BOTH, {}),
    ("the misspelt alias", SUBSET + 'caption_extention = ".txt"\n', BOTH, {}),
    ("both spellings", SUBSET + 'caption_extension = ".a"\ncaption_extention = ".b"\n', BOTH, {}),
]  # fmt: skip

LEFT_OUT = ("tokenizer", "max_token_length", "debug_dataset", "prior_loss_weight")


def resolve(reference: Reference, text: str, supports: tuple[bool, bool, bool], arguments: dict) -> dict:
    try:
        with quiet():
            sanitizer = reference.config.ConfigSanitizer(*supports)
            generator = reference.config.BlueprintGenerator(sanitizer)
            blueprint = generator.generate(toml.loads(text), argparse.Namespace(**arguments), tokenizer=None)
    except Exception as error:
        return {"error": type(error).__name__}
    datasets = []
    for dataset in blueprint.dataset_group.datasets:
        values = {name: value for name, value in asdict(dataset.params).items() if name not in LEFT_OUT}
        subsets = [asdict(subset.params) for subset in dataset.subsets]
        datasets.append({"isDreamBooth": dataset.is_dreambooth, "values": values, "subsets": subsets})
    return {"datasets": datasets}


def record_settings(reference: Reference) -> dict:
    cases = []
    for name, text, supports, arguments in CASES:
        named = dict(zip(("dreamBooth", "fineTuning", "captionDropout"), supports))
        found = resolve(reference, text, supports, arguments)
        cases.append({"name": name, "toml": text, "supports": named, "commandLine": arguments, **found})
    return {"cases": cases}
