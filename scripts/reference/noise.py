"""Writes test/fixtures/noise/: the schedules of noise, and what a training step makes of latents, in float64.

The random numbers are those of the library (philox.py); the formulas are PyTorch's operations on them."""

import torch
import torch.nn.functional as F

from digest import digest, rounded
from formula import FIXTURES, formula, write_json
from philox import Stream, normals, stream_of

STEPS = 1000
SEED = 2**40 + 77
KEY = {"epoch": 3, "batch": 5}
SHAPE = [3, 16, 12, 4]
LATENTS = {"kind": "normal-like", "scale": 0.9, "offset": 0.4}


def alphas_cumprod(zero_terminal_snr):
    """float32, as the tables are."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, STEPS, dtype=torch.float32) ** 2
    cumprod = (1 - betas).cumprod(0)
    if not zero_terminal_snr:
        return cumprod
    signal = cumprod.sqrt()
    signal = (signal - signal[-1]) * (signal[0] / (signal[0] - signal[-1]))
    squared = signal**2
    betas = 1 - torch.cat([squared[:1], squared[1:] / squared[:-1]])
    return (1 - betas).cumprod(0)


class Draws:
    """The random numbers of one batch."""

    def __init__(self, seed, key):
        self.seed, self.key = seed, key

    def stream(self, purpose, *parts):
        return Stream(self.seed, purpose, *self.key.values(), *parts)

    def normals(self, purpose, place, shape):
        return normals(self.seed, stream_of(f"{purpose}/{self.key['epoch']}/{self.key['batch']}/{place}"), shape)

    def noise(self, purpose, shape):
        """[n, c, h, w]; the library draws [h, w, c] of each sample."""
        n, h, w, c = shape
        samples = [self.normals(purpose, slot, (h, w, c)) for slot in range(n)]
        return torch.stack([torch.from_numpy(sample) for sample in samples]).double().permute(0, 3, 1, 2)

    def share(self, purpose, is_random):
        return self.stream(f"{purpose} strength").uniform() if is_random else 1.0

    def timesteps(self, count, o):
        first, end = o.get("minTimestep", 0), o.get("maxTimestep", STEPS)
        return [first + self.stream("timestep", slot).below(end - first) for slot in range(count)]


def noise_of(x, o, draws):
    n, c, h, w = x.shape
    noise = draws.noise("noise", [n, h, w, c])
    if o.get("noiseOffset"):
        strength = o["noiseOffset"] * draws.share("noise offset", o.get("noiseOffsetRandomStrength"))
        if o.get("adaptiveNoiseScale") is not None:
            strength = (strength + o["adaptiveNoiseScale"] * x.mean(dim=(2, 3), keepdim=True).abs()).clamp(min=0)
        z = draws.normals("offset", "batch", (n, c, 1, 1))
        noise = noise + strength * torch.from_numpy(z).double()
    if o.get("multiresNoiseIterations"):
        ratios = draws.stream("octaves")
        for i in range(o["multiresNoiseIterations"]):
            r = 2 + 2 * ratios.uniform()
            size = max(1, int(h / r**i)), max(1, int(w / r**i))
            octave = F.interpolate(draws.noise(f"octave {i}", [n, *size, c]), size=(h, w), mode="bilinear", align_corners=False)
            noise = noise + octave * o.get("multiresNoiseDiscount", 0.3) ** i
            if 1 in size:
                break
        noise = noise / noise.std()
    return noise


def make_noisy(x, options, prediction_type, zero_terminal_snr, draws):
    """What the model sees, what it shall find, and when. x [n, c, h, w], float64."""
    n, c, h, w = x.shape
    timesteps = draws.timesteps(n, options)
    a = alphas_cumprod(zero_terminal_snr)[timesteps].double().reshape(-1, 1, 1, 1)
    noise = noise_of(x, options, draws)
    seen = noise
    if options.get("ipNoiseGamma"):
        gamma = options["ipNoiseGamma"] * draws.share("ip noise", options.get("ipNoiseGammaRandomStrength"))
        seen = noise + gamma * draws.noise("ip noise", [n, h, w, c])
    target = noise if prediction_type == "epsilon" else a.sqrt() * noise - (1 - a).sqrt() * x
    return a.sqrt() * x + (1 - a).sqrt() * seen, target, timesteps


def make(name, options, prediction_type, zero_terminal_snr=False):
    x = torch.from_numpy(formula(f"noise/{name}/latents", SHAPE, **LATENTS)).double().permute(0, 3, 1, 2)
    noisy, target, timesteps = make_noisy(x, options, prediction_type, zero_terminal_snr, Draws(SEED, KEY))
    results = {"noisy": noisy, "target": target}
    return {
        "name": name,
        "options": options,
        "predictionType": prediction_type,
        "zeroTerminalSnr": zero_terminal_snr,
        "timesteps": timesteps,
        **{key: digest(f"noise/{name}/{key}", y.permute(0, 2, 3, 1).contiguous()) for key, y in results.items()},
    }


OFFSET = {"noiseOffset": 0.1}
ADAPTIVE = {"noiseOffset": 0.05, "adaptiveNoiseScale": 0.3}
OCTAVES = {"multiresNoiseIterations": 6}
IP = {"ipNoiseGamma": 0.1}

CASES = [
    ("plain", {}, "epsilon"),
    ("velocity", {}, "v_prediction"),
    ("velocity that ends in noise", {"minTimestep": 990}, "v_prediction", True),
    ("few timesteps", {"minTimestep": 200, "maxTimestep": 203}, "epsilon"),
    ("offset", OFFSET, "epsilon"),
    ("offset of random strength", {**OFFSET, "noiseOffsetRandomStrength": True}, "epsilon"),
    ("adaptive offset", ADAPTIVE, "v_prediction"),
    ("adaptive offset that stays above zero", {**ADAPTIVE, "adaptiveNoiseScale": -0.3}, "epsilon"),
    ("octaves", OCTAVES, "epsilon"),
    ("two octaves of half the strength", {"multiresNoiseIterations": 2, "multiresNoiseDiscount": 0.5}, "epsilon"),
    ("offset before octaves", {**OFFSET, **OCTAVES, "multiresNoiseDiscount": 0.8}, "v_prediction"),
    ("further noise", IP, "epsilon"),
    ("further noise of random strength", {**IP, "ipNoiseGammaRandomStrength": True}, "v_prediction"),
    ("everything", {**ADAPTIVE, **OCTAVES, **IP, "noiseOffsetRandomStrength": True, "ipNoiseGammaRandomStrength": True}, "v_prediction", True),
]


def main() -> None:
    schedules = {str(zero).lower(): rounded(alphas_cumprod(zero)) for zero in (False, True)}
    common = {"script": "scripts/reference/noise.py", "seed": str(SEED), "key": KEY, "latents": {"shape": SHAPE, **LATENTS}}
    write_json(FIXTURES / "noise" / "noise.json", {**common, "cases": [make(*case) for case in CASES]})
    write_json(FIXTURES / "noise" / "schedules.json", {"script": "scripts/reference/noise.py", "alphasCumprod": schedules})


if __name__ == "__main__":
    main()
