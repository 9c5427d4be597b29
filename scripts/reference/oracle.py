"""Writes test/fixtures/oracle/: 20 steps of each kind of training in PyTorch, float32, from formula weights (tiny_models.py).
The models are smaller than the tiny ones: `smaller` in oracle_training.py.

A case holds everything that both sides make the training from: the pictures with their captions, and the options that differ
from those of a test (test/support/trainingOracle.ts), by the library's names. A fixture adds

    passes    the batches in their order: pictures, '~' where mirrored, and timesteps
    steps     loss, norm of the gradient before clipping, rates of the groups
    changes   final less first value of every tensor that learns, in file layout: its norm, dot products with the formula
              vectors '<name>/w0' and '<name>/w1' (uniform), and the elements (2k + 1) size / (2 SAMPLES), rounded down
    rounding  how far PyTorch itself is from the same in float64: the largest relative difference of a loss, and the norm of
              the difference of all weights, over the norm of the weights and over the norm of the change

Named cases are made alone. A further kind needs a class in oracle_training.py and a case here.
"""

import math
import sys

import torch

from digest import significant
from formula import FIXTURES, symmetric, write_json
from oracle_training import Training

STEPS, SAMPLES, PROJECTIONS = 20, 4, 2


def picture(name, size, caption):
    return {"name": name, "size": list(size), "caption": caption}


SQUARE, TALL, WIDE = (64, 64), (64, 96), (96, 64)
FROGS = [
    picture("frog", SQUARE, "sks frog, sitting on a leaf, green"),
    picture("rain", SQUARE, "sks frog, in the rain"),
    picture("tall", TALL, "a tall sks frog, at night"),
    picture("wide", WIDE, "sks frog"),
    picture("pond", SQUARE, "a pond, without any frog"),
]
SHS = [{**frog, "caption": frog["caption"].replace("sks", "shs")} for frog in FROGS[:4]]
LONG = picture("long", TALL, ", ".join(["a very long caption of a sks frog"] * 12))
# Each training picture shares its size with one picture of the class, so every batch holds one of both.
SUBJECTS = [picture("one", (64, 64), "sks frog"), picture("two", (64, 128), "sks frog, tall"), picture("three", (128, 64), "sks frog, wide")]
CLASS = [picture("first", (64, 64), "frog"), picture("second", (64, 128), "a tall frog"), picture("third", (128, 64), "a wide frog")]


def case(kind, config, subsets, model="tinySd1", predictionType="epsilon", latents="given"):
    config = {**config, "training": {"maxSteps": STEPS, "seed": 7, **config.get("training", {})}}
    return {"kind": kind, "model": model, "predictionType": predictionType, "latents": latents, "seed": 7, "batchSize": 2,
            "subsets": subsets, "config": config}


CASES = {
    "fineTune": case(
        "fine-tune",
        {"optimizer": {"learningRate": 1e-4, "scheduler": "cosine", "warmupSteps": 3, "arguments": {"weight_decay": 0.1}}},
        [{"pictures": FROGS, "repeats": 1, "flip": True}],
    ),
    "fineTuneText": case(
        "fine-tune",
        {
            "model": {"clipSkip": 2, "maxTokenLength": 150},
            "fineTune": {"trainTextEncoder": True, "textEncoderLearningRate": 5e-5},
            "optimizer": {"learningRate": 1e-4, "scheduler": "linear", "warmupSteps": 2},
            "loss": {"minSnrGamma": 5},
        },
        [{"pictures": [*FROGS, LONG], "repeats": 1}],
    ),
    "dreamBooth": case(
        "train-db",
        {
            "data": {"priorLossWeight": 0.5, "cacheLatents": False},
            "dreamBooth": {"stopTextEncoderTraining": 10},
            "training": {"gradientAccumulationSteps": 2},
            "optimizer": {"learningRate": 1e-4, "scheduler": "constant", "maxGradNorm": 0.5},
        },
        [{"pictures": SUBJECTS, "repeats": 1}, {"pictures": CLASS, "repeats": 1, "isReg": True}],
        latents="encoded",
    ),
    "dreamBoothOfVelocity": case(
        "train-db",
        {
            "data": {"priorLossWeight": 0.5, "cacheLatents": False, "maskedLoss": True},
            "dreamBooth": {"textEncoderLearningRate": 5e-5},
            "optimizer": {"learningRate": 1e-4, "scheduler": "cosine"},
            "noise": {
                "noiseOffset": 0.05, "adaptiveNoiseScale": 0.3, "noiseOffsetRandomStrength": True,
                "minTimestep": 100, "maxTimestep": 900,
            },
            "loss": {"type": "huber", "huberC": 0.2, "minSnrGamma": 5, "debiasedEstimation": True},
        },
        [{"pictures": SUBJECTS, "repeats": 1, "masked": True}, {"pictures": CLASS, "repeats": 1, "isReg": True}],
        model="tinySd2",
        predictionType="v_prediction",
        latents="encoded",
    ),
    "network": case(
        "train-network",
        {
            "network": {"dim": 4, "alpha": 2, "dropout": 0.25},
            "optimizer": {
                "learningRate": 1e-3, "textEncoderLearningRate": 5e-4, "scheduler": "constant_with_warmup", "warmupSteps": 4,
            },
            "noise": {"noiseOffset": 0.1},
            "loss": {"minSnrGamma": 5},
        },
        [{"pictures": FROGS, "repeats": 1, "flip": True}],
    ),
    "networkOfVelocity": case(
        "train-network",
        {
            "data": {"cacheTextEncoderOutputs": True},
            "network": {"dim": 3, "alpha": 1, "trainTextEncoder": False, "loraPlus": {"textEncoder": 1, "unet": 4}},
            "training": {"gradientAccumulationSteps": 2, "gradientCheckpointing": True},
            "optimizer": {"learningRate": 1e-3, "unetLearningRate": 5e-4, "scheduler": "cosine_with_restarts"},
            "noise": {"multiresNoiseIterations": 4, "ipNoiseGamma": 0.1, "zeroTerminalSnr": True},
            "loss": {"scaleVPredLossLikeNoisePred": True},
        },
        [{"pictures": FROGS[:3], "repeats": 2}, {"pictures": FROGS[3:], "repeats": 1}],
        model="tinySd2",
        predictionType="v_prediction",
    ),
    "textualInversion": case(
        "train-textual-inversion",
        {
            "model": {"clipSkip": 2},
            "inversion": {"tokenString": "shs", "vectorCount": 3, "initWord": "green frog"},
            "optimizer": {"learningRate": 5e-3, "scheduler": "cosine", "warmupSteps": 2},
        },
        [{"pictures": SHS, "repeats": 1, "flip": True}],
    ),
    "xti": case(
        "train-textual-inversion-xti",
        {
            "inversion": {"tokenString": "shs", "vectorCount": 2, "initWord": "frog"},
            "optimizer": {"learningRate": 5e-3, "scheduler": "constant"},
            "training": {"gradientAccumulationSteps": 2},
        },
        [{"pictures": SHS, "repeats": 1}],
    ),
}


def norm_of(tensors):
    return math.sqrt(sum(float(t.square().sum()) for t in tensors))


def change_of(name, before, after):
    change = (after - before).flatten()
    size = change.numel()
    dots = [float(change @ torch.from_numpy(symmetric(f"{name}/w{k}", size))) for k in range(PROJECTIONS)]
    samples = change[[(2 * k + 1) * size // (2 * SAMPLES) for k in range(SAMPLES)]].tolist()
    return [significant(norm_of([change]), 8), *(significant(v, 8) for v in dots), *(significant(v, 6) for v in samples)]


def rounding_of(single, double):
    losses = [abs(a["loss"] / b["loss"] - 1) for a, b in zip(single.steps, double.steps)]
    difference = norm_of(single.after[name] - double.after[name] for name in single.after)
    change = norm_of(double.after[name] - double.before[name] for name in double.after)
    return {"loss": max(losses), "weights": difference / norm_of(double.after.values()), "change": difference / change}


def make(name):
    single, double = Training(CASES[name], torch.float32), Training(CASES[name], torch.float64)
    assert single.passes == double.passes
    rounding = {key: significant(value, 3) for key, value in rounding_of(single, double).items()}
    steps = [{"loss": significant(s["loss"]), "gradientNorm": significant(s["gradientNorm"]), "rates": s["rates"]} for s in single.steps]
    changes = {key: change_of(key, single.before[key], single.after[key]) for key in single.after}
    print(name, [s["loss"] for s in steps], rounding)
    out = {"script": "scripts/reference/oracle.py", "case": CASES[name], "passes": single.passes, "steps": steps, "rounding": rounding}
    write_json(FIXTURES / "oracle" / f"{name}.json", {**out, "changes": changes})


if __name__ == "__main__":
    torch.set_num_threads(2)
    for name in sys.argv[1:] or CASES:
        make(name)
