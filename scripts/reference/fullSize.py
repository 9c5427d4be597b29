"""Writes test/fixtures/fullSize/*.json: Stable Diffusion 1.5 and 2.1 in their real sizes, for `npm run test:full`.

    python fullSize.py sd1Unet vae/64x64/encode    # without names: every part, one after the other, up to 10 GB each

The modules are diffusers' and transformers' own with the published configurations; weights are formula values of the
parameter names as in tiny_models.py, with the projections to queries and keys times sqrt(2), so that attention picks among
tokens as it does in a trained model (scores of standard deviation 2). The VAE is the same in both versions.

References are float64. Beside each digest stands what PyTorch itself loses in float32 and in bfloat16 (weights and inputs
rounded too): rms and largest error over all elements, relative to the rms of the reference. Sizes are those of the latents:
64x64 for pictures of 512 x 512, 56x80 for 448 high and 640 wide. The id of a digest is '<file>/<case>'.
"""

import json
import os
import sys
import time

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

import conditioning
from digest import digest, significant
from formula import FIXTURES, formula, parameter_values, write_json
from tiny_models import VAE, text_config, unet_config

torch.set_num_threads(int(os.environ.get("THREADS", "2")))

UNETS = {
    "sd1": unet_config(block_out_channels=[320, 640, 1280, 1280], norm_num_groups=32, cross_attention_dim=768, attention_head_dim=8),
    "sd2": unet_config(
        block_out_channels=[320, 640, 1280, 1280], norm_num_groups=32, cross_attention_dim=1024, attention_head_dim=[5, 10, 20, 20],
        use_linear_projection=True, upcast_attention=True,
    ),
}
TEXTS = {
    "sd1": text_config(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12),
    "sd2": text_config(
        hidden_size=1024, intermediate_size=4096, num_hidden_layers=23, num_attention_heads=16, hidden_act="gelu", pad_token_id=0
    ),
}
FULL_VAE = {**VAE, "block_out_channels": [128, 256, 512, 512], "norm_num_groups": 32, "sample_size": 512}
SIZES = {"64x64": (64, 64), "56x80": (56, 80)}
SHARP = tuple(f"{name}.weight" for name in ("to_q", "to_k", "q_proj", "k_proj"))


def fill(module: torch.nn.Module, prefix: str) -> None:
    for name, parameter in module.named_parameters():
        key = f"{prefix}.{name}"
        if prefix == "text_encoder" and not name.startswith("text_model."):
            key = f"{prefix}.text_model.{name}"
        values = parameter_values(key, list(parameter.shape))
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(values * (2.0**0.5) if key.endswith(SHARP) else values))


def empty(make) -> torch.nn.Module:
    """A module whose float64 parameters hold nothing yet."""
    with torch.device("meta"):
        module = make()
    return module.double().to_empty(device="cpu").eval()


def banded_convolution(self, x, weight, bias):
    """float64 convolutions lay out all patches at once, 5 GB at the VAE's widest; a band of rows at a time needs little."""
    rows_at_once = max(1, (1 << 25) // (x.shape[1] * x.shape[3] * 9))
    if x.dtype != torch.float64 or x.shape[2] <= rows_at_once:
        return plain_convolution(self, x, weight, bias)
    (kernel, _), (stride, _), (pad, _) = self.kernel_size, self.stride, self.padding
    x = torch.nn.functional.pad(x, (pad, pad, pad, pad))
    height = (x.shape[2] - kernel) // stride + 1
    bands = []
    for start in range(0, height, rows_at_once):
        stop = min(height, start + rows_at_once)
        band = x[:, :, start * stride : (stop - 1) * stride + kernel]
        bands.append(torch.nn.functional.conv2d(band, weight, bias, self.stride))
    return torch.cat(bands, dim=2)


plain_convolution = torch.nn.Conv2d._conv_forward
torch.nn.Conv2d._conv_forward = banded_convolution


def normal(name: str, *shape: int) -> torch.Tensor:
    return torch.from_numpy(formula(name, list(shape), "normal-like"))


class Comparison:
    """Runs the cases of one module in three precisions and collects digests and PyTorch's own errors."""

    def __init__(self, file: str, module: torch.nn.Module, header: dict):
        self.file, self.module = file, module
        parameters = sum(p.numel() for p in module.parameters())
        self.path = FIXTURES / "fullSize" / f"{file}.json"
        self.out = {"script": "scripts/reference/fullSize.py", **header, "parameters": parameters, "cases": {}}

    def run(self, cases: dict) -> None:
        """cases: name -> (what the fixture records of the input, function of a dtype that returns the outputs by name)."""
        references: dict = {}
        for dtype in (torch.float64, torch.float32, torch.bfloat16):
            self.module.to(dtype)
            for case, (header, compute) in cases.items():
                started = time.time()
                with torch.no_grad():
                    outputs = compute(dtype)
                seconds = time.time() - started
                for output, y in outputs.items():
                    name = f"{case}/{output}" if output else case
                    y = y.double()
                    if dtype == torch.float64:
                        references[name] = y
                        entry = digest(f"{self.file}/{name}", y, samples=384)
                        del entry["id"]
                        self.out["cases"][name] = {**header, "output": entry, "pytorch": {}}
                        print(f"{self.file}/{name} float64: rms {entry['rms']}, {seconds:.1f} s", flush=True)
                        continue
                    error = y - references[name]
                    unit = float(references[name].square().mean().sqrt())
                    errors = {"rms": float(error.square().mean().sqrt()) / unit, "max": float(error.abs().max()) / unit}
                    kind = str(dtype).split(".")[1]
                    self.out["cases"][name]["pytorch"][kind] = {k: significant(v, 4) for k, v in errors.items()}
                    print(f"{self.file}/{name} {kind}: rms {errors['rms']:.2e}, max {errors['max']:.2e}, {seconds:.1f} s", flush=True)
        earlier = json.loads(self.path.read_text(encoding="utf-8"))["cases"] if self.path.exists() else {}
        write_json(self.path, {**self.out, "cases": dict(sorted({**earlier, **self.out["cases"]}.items()))})


def channels_last(x: torch.Tensor) -> torch.Tensor:
    return x.permute(0, 2, 3, 1)


def channels_first(x: torch.Tensor) -> torch.Tensor:
    return x.permute(0, 3, 1, 2).contiguous()


def unet(version: str) -> None:
    file = f"{version}Unet"
    module = empty(lambda: UNet2DConditionModel(**UNETS[version]))
    fill(module, "unet")
    width = UNETS[version]["cross_attention_dim"]

    def case(size, positions: int, timestep: int):
        h, w = SIZES[size]
        latents = normal(f"{file}/{size}/latents", 1, h, w, 4)
        context = normal(f"{file}/{size}/context", 1, positions, width)

        def compute(dtype):
            return {"": channels_last(module(channels_first(latents.to(dtype)), torch.tensor([timestep]), context.to(dtype)).sample)}

        return {"latents": [1, h, w, 4], "context": [1, positions, width], "timestep": timestep}, compute

    # The second size takes a caption of 225 tokens and an early timestep too.
    cases = {"64x64": case("64x64", 77, 801), "56x80": case("56x80", 227, 17)}
    Comparison(file, module, {"config": UNETS[version]}).run(cases)


def vae(size: str, direction: str) -> None:
    module = empty(lambda: AutoencoderKL(**FULL_VAE))
    fill(module, "vae")
    h, w = SIZES[size]

    def encode():
        pixels = torch.from_numpy(formula(f"vae/{size}/pixels", [1, 8 * h, 8 * w, 3], "uniform"))
        return {"input": list(pixels.shape)}, lambda dtype: {
            "": channels_last(module.quant_conv(module.encoder(channels_first(pixels.to(dtype)))))
        }

    def decode():
        latents = normal(f"vae/{size}/latents", 1, h, w, 4)
        return {"input": list(latents.shape)}, lambda dtype: {
            "": channels_last(module.decoder(module.post_quant_conv(channels_first(latents.to(dtype)))))
        }

    case = {"encode": encode, "decode": decode}[direction]()
    Comparison("vae", module, {"config": FULL_VAE}).run({f"{size}/{direction}": case})


CAPTIONS = [conditioning.SHORT, conditioning.LOUD, conditioning.LONG * 2]


def text(version: str) -> None:
    config = TEXTS[version]
    module = CLIPTextModel(CLIPTextConfig(**config, attn_implementation="sdpa")).double().eval()
    fill(module, "text_encoder")
    tokenizer = conditioning.make_tokenizer("!" if config["pad_token_id"] == 0 else "<|endoftext|>")
    final_norm = getattr(module, "text_model", module).final_layer_norm

    def case(length: int):
        rows = [conditioning.rows_of(conditioning.sequence_of(tokenizer, c, length), config["pad_token_id"]) for c in CAPTIONS]
        ids = torch.tensor(rows).reshape(-1, 77)

        def compute(dtype):
            states = module(input_ids=ids, output_hidden_states=True)
            outputs = {"skip1": states.last_hidden_state, "skip2": final_norm(states.hidden_states[-2])}
            return {name: conditioning.assemble(y, len(rows[0])) for name, y in outputs.items()}

        return {"length": length}, compute

    Comparison(f"{version}Text", module, {"config": config, "captions": CAPTIONS}).run({str(n): case(n) for n in (77, 227)})


PARTS = {
    "sd1Text": lambda: text("sd1"), "sd2Text": lambda: text("sd2"), "sd1Unet": lambda: unet("sd1"), "sd2Unet": lambda: unet("sd2"),
    "vae/64x64/encode": lambda: vae("64x64", "encode"), "vae/64x64/decode": lambda: vae("64x64", "decode"),
    "vae/56x80/encode": lambda: vae("56x80", "encode"), "vae/56x80/decode": lambda: vae("56x80", "decode"),
}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
