"""The trainings that oracle_sd_scripts.py has sd-scripts do: cases as those of oracle.py, of fewer steps, with

    reference         version of sd-scripts: default v0.6.6
    networkModule     of train_network.py: default networks.lora
    networkArguments  of the network, as a command line has them
    loraFiles         to merge into the model before (`base`) and to go on from (`start`)
    referenceOptions  of the reference alone: what it needs to compute what this library does
"""

from oracle import CASES as BY_PYTORCH
from oracle import CLASS, FROGS, LONG, SUBJECTS, case

WEIGHTS = ["(sks frog:1.3), green", "[[sks]] frog, (tall), " + ", ".join(["a very (long:0.8) caption"] * 16), "((sks)) frog, wide"]
WEIGHTED = [{**each, "caption": caption} for each, caption in zip(SUBJECTS, WEIGHTS, strict=True)]
FLIPPED = [{"pictures": FROGS, "repeats": 1, "flip": True}]
PLAIN = [{"pictures": FROGS, "repeats": 1}]
RATES = {"learningRate": 1e-3, "textEncoderLearningRate": 5e-4}


def shorter(name, steps, **changes):
    """A case of oracle.py with fewer steps. `changes` replace options within its blocks; None takes one out."""
    given = BY_PYTORCH[name]
    config = {**given["config"], "training": {**given["config"]["training"], "maxSteps": steps}}
    for block, options in changes.items():
        config[block] = {name: value for name, value in (config.get(block, {}) | options).items() if value is not None}
    return {**given, "config": config}


def network(steps, config, subsets, more=None, **options):
    config = {"network": {"dim": 4, "alpha": 2}, "optimizer": RATES, **config}
    config["training"] = {"maxSteps": steps, **config.get("training", {})}
    return {**case("train-network", config, subsets, **options), **(more or {})}


PICTURES = [{"pictures": SUBJECTS, "repeats": 2}, {"pictures": CLASS, "repeats": 1}]
LATER = {"reference": "v0.9.1"}
VELOCITY = {"model": "tinySd2", "predictionType": "v_prediction"}
CASES = {
    "network": BY_PYTORCH["network"],
    "velocity": network(
        8,
        {
            "model": {"clipSkip": 2},
            "optimizer": {**RATES, "scheduler": "polynomial", "warmupSteps": 2},
            "noise": {"multiresNoiseIterations": 4, "multiresNoiseDiscount": 0.4},
            "loss": {"scaleVPredLossLikeNoisePred": True},
        },
        FLIPPED,
        **VELOCITY,
    ),
    # v0.6.6 weighs both kinds of target by min(gamma / SNR, 1). Its successors weigh velocity by min(gamma, SNR) / (SNR + 1), which is
    # that times SNR / (SNR + 1): its scale for velocity makes the difference.
    "velocityWeighted": network(
        5,
        {"model": {"maxTokenLength": 150}, "loss": {"minSnrGamma": 5}},
        [{"pictures": [*FROGS[1:], LONG], "repeats": 1}],
        {"referenceOptions": {"scale_v_pred_loss_like_noise_pred": True}},
        **VELOCITY,
    ),
    # Four batches in an epoch: one of each epoch is alone in its step.
    "accumulated": network(
        6,
        {
            "network": {"dim": 4, "alpha": 2, "dropout": 0.25, "scaleWeightNorms": 0.012},
            "training": {"gradientAccumulationSteps": 3},
            "optimizer": {**RATES, "scheduler": "constant_with_warmup", "warmupSteps": 3, "arguments": {"weight_decay": 0.1}},
            "noise": {"noiseOffset": 0.05, "adaptiveNoiseScale": 0.3},
        },
        FLIPPED,
    ),
    "convolutions": network(
        6,
        {"network": {"dim": 4, "alpha": 2, "dropout": 0.2}},
        PLAIN,
        {
            "networkArguments": [
                "conv_dim=2", "conv_alpha=1", "rank_dropout=0.25", "module_dropout=0.2",
                "block_dims=" + ",".join(str(2 + i % 3) for i in range(25)),
                "block_alphas=" + ",".join(str(1 + i % 2) for i in range(25)),
                "down_lr_weight=1,0.5,1,0.25,0,1,1,1,1,1,1,1", "mid_lr_weight=0.5", "up_lr_weight=sine+.25",
            ]
        },
    ),
    "weighted": network(
        6,
        {
            "model": {"clipSkip": 2, "maxTokenLength": 225},
            "data": {"cacheLatents": False, "priorLossWeight": 0.5, "weightedCaptions": True},
            "training": {"gradientCheckpointing": True},
        },
        [{"pictures": WEIGHTED, "repeats": 1}, {"pictures": CLASS, "repeats": 1, "isReg": True}],
        latents="encoded",
    ),
    "merged": network(
        5,
        {
            "network": {"dimFromWeights": True, "baseWeightsMultiplier": [0.7]},
            "optimizer": {"learningRate": 5e-4, "unetLearningRate": 1e-3},
        },
        PLAIN,
        {
            "loraFiles": {
                "base": {"rank": 3, "alpha": 1.5, "convRank": 2, "convAlpha": 1, "without": "_attn1_"},
                "start": {"rank": 2, "alpha": 3, "convRank": 3, "convAlpha": 2, "without": "_mlp_"},
            }
        },
    ),
    "laterVelocity": network(
        6,
        {
            "data": {"cacheLatents": False},
            "noise": {
                "zeroTerminalSnr": True, "ipNoiseGamma": 0.1, "ipNoiseGammaRandomStrength": True, "noiseOffset": 0.1,
                "multiresNoiseIterations": 4, "minTimestep": 100, "maxTimestep": 1000,
            },
            "loss": {"minSnrGamma": 5, "debiasedEstimation": True},
        },
        PICTURES,
        {**LATER, "networkArguments": ["loraplus_unet_lr_ratio=4", "loraplus_text_encoder_lr_ratio=2"]},
        latents="encoded",
        **VELOCITY,
    ),
    "laterNoise": network(
        4,
        {
            "data": {"cacheLatents": False},
            "training": {"gradientAccumulationSteps": 4},
            "optimizer": {**RATES, "scheduler": "cosine", "warmupSteps": 1},
            "noise": {"noiseOffset": 0.2, "noiseOffsetRandomStrength": True, "ipNoiseGamma": 0.05},
            "loss": {"type": "huber", "huberSchedule": "snr", "huberC": 0.2, "vPredLikeLoss": 0.3},
        },
        PICTURES,
        LATER,
        latents="encoded",
    ),
    # Without it, elements whose gradient is almost 0 move by what rounding makes of it.
    "dylora": network(
        8,
        {"optimizer": {**RATES, "arguments": {"eps": 1e-5}}},
        PLAIN,
        {"networkModule": "networks.dylora", "networkArguments": ["unit=2", "conv_dim=4"]},
    ),
    "fineTune": shorter("fineTuneText", 6, fineTune={"textEncoderLearningRate": None}),
    "dreamBooth": shorter("dreamBooth", 6, dreamBooth={"stopTextEncoderTraining": 3}),
    # The reference clips by the gradient of all words of a batch, this library by that of the new word: here by neither.
    "textualInversion": shorter("textualInversion", 8, optimizer={"maxGradNorm": 1000}),
    # The reference cannot do it with latents whose sides are no multiples of 8.
    "xti": {
        **shorter("xti", 3, optimizer={"maxGradNorm": 1000}),
        "subsets": [{"pictures": [{**each, "caption": each["caption"].replace("sks", "shs")} for each in SUBJECTS], "repeats": 1}],
    },
}  # fmt: skip
