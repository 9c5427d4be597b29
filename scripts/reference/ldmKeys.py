"""Writes test/fixtures/ldmKeys/keys.json: which key of a single-file checkpoint is which diffusers parameter.

The keys of full-size SD 1 and 2 checkpoints, built by the block loops of the original latent-diffusion model, through the
conversion functions of diffusers itself. Every tensor holds its own number (memory of one element, any shape), so the number says
where each converted tensor came from. The U-Net's and the VAE's keys are those of both versions; shapes are checked against the
diffusers and transformers modules here and are not stored.
"""

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders import single_file_utils as single_file
from transformers import CLIPTextConfig, CLIPTextModel

from formula import FIXTURES, write_json
from tiny_models import CROSS_DOWN, CROSS_UP

UNET = {"block_out_channels": [320, 640, 1280, 1280], "layers_per_block": 2, "down_block_types": CROSS_DOWN, "up_block_types": CROSS_UP}
UNETS = {
    1: UNET | {"cross_attention_dim": 768, "attention_head_dim": 8},
    2: UNET | {"cross_attention_dim": 1024, "attention_head_dim": [5, 10, 20, 20], "use_linear_projection": True},
}
VAE = {
    "block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "latent_channels": 4,
    "down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4,
}
TEXTS = {1: (768, 3072, 12), 2: (1024, 4096, 23)}


def layer(out: dict, name: str, *shape: int, bias: bool = True) -> None:
    out[f"{name}.weight"] = shape
    if bias:
        out[f"{name}.bias"] = shape[:1]


def unet_shapes(version: int) -> dict:
    """The parameters of latent-diffusion's UNetModel, in the order of its loops."""
    context = 768 if version == 1 else 1024
    channels, layers, embedding = UNET["block_out_channels"], 2, 1280
    out: dict = {}

    def resnet(name, i, o):
        layer(out, f"{name}.in_layers.0", i), layer(out, f"{name}.in_layers.2", o, i, 3, 3)
        layer(out, f"{name}.emb_layers.1", o, embedding)
        layer(out, f"{name}.out_layers.0", o), layer(out, f"{name}.out_layers.3", o, o, 3, 3)
        if i != o:
            layer(out, f"{name}.skip_connection", o, i, 1, 1)

    def transformer(name, d):
        tail = (1, 1) if version == 1 else ()
        layer(out, f"{name}.norm", d), layer(out, f"{name}.proj_in", d, d, *tail), layer(out, f"{name}.proj_out", d, d, *tail)
        block = f"{name}.transformer_blocks.0"
        for attention, source in (("attn1", d), ("attn2", context)):
            layer(out, f"{block}.{attention}.to_q", d, d, bias=False)
            layer(out, f"{block}.{attention}.to_k", d, source, bias=False)
            layer(out, f"{block}.{attention}.to_v", d, source, bias=False)
            layer(out, f"{block}.{attention}.to_out.0", d, d)
        layer(out, f"{block}.ff.net.0.proj", 8 * d, d), layer(out, f"{block}.ff.net.2", d, 4 * d)
        for i in (1, 2, 3):
            layer(out, f"{block}.norm{i}", d)

    layer(out, "time_embed.0", embedding, 320), layer(out, "time_embed.2", embedding, embedding)
    layer(out, "input_blocks.0.0", 320, 4, 3, 3)
    block, current, skips = 1, 320, [320]
    for level, width in enumerate(channels):
        for _ in range(layers):
            resnet(f"input_blocks.{block}.0", current, width)
            current = width
            if level < 3:
                transformer(f"input_blocks.{block}.1", width)
            skips.append(current)
            block += 1
        if level < 3:
            layer(out, f"input_blocks.{block}.0.op", current, current, 3, 3)
            skips.append(current)
            block += 1
    resnet("middle_block.0", current, current), transformer("middle_block.1", current), resnet("middle_block.2", current, current)
    block = 0
    for level in (3, 2, 1, 0):
        for i in range(layers + 1):
            resnet(f"output_blocks.{block}.0", current + skips.pop(), channels[level])
            current, place = channels[level], 1
            if level < 3:
                transformer(f"output_blocks.{block}.1", current)
                place = 2
            if level > 0 and i == layers:
                layer(out, f"output_blocks.{block}.{place}.conv", current, current, 3, 3)
            block += 1
    layer(out, "out.0", 320), layer(out, "out.2", 4, 320, 3, 3)
    return {f"model.diffusion_model.{k}": v for k, v in out.items()}


def vae_shapes() -> dict:
    out: dict = {}
    channels = VAE["block_out_channels"]

    def resnet(name, i, o):
        layer(out, f"{name}.norm1", i), layer(out, f"{name}.conv1", o, i, 3, 3)
        layer(out, f"{name}.norm2", o), layer(out, f"{name}.conv2", o, o, 3, 3)
        if i != o:
            layer(out, f"{name}.nin_shortcut", o, i, 1, 1)

    def middle(half):
        resnet(f"{half}.mid.block_1", 512, 512), resnet(f"{half}.mid.block_2", 512, 512)
        layer(out, f"{half}.mid.attn_1.norm", 512)
        for name in ("q", "k", "v", "proj_out"):
            layer(out, f"{half}.mid.attn_1.{name}", 512, 512, 1, 1)

    layer(out, "encoder.conv_in", 128, 3, 3, 3)
    current = 128
    for level, width in enumerate(channels):
        for i in range(2):
            resnet(f"encoder.down.{level}.block.{i}", current, width)
            current = width
        if level < 3:
            layer(out, f"encoder.down.{level}.downsample.conv", width, width, 3, 3)
    middle("encoder")
    layer(out, "encoder.norm_out", 512), layer(out, "encoder.conv_out", 8, 512, 3, 3)
    layer(out, "decoder.conv_in", 512, 4, 3, 3)
    middle("decoder")
    for level in (3, 2, 1, 0):
        for i in range(3):
            resnet(f"decoder.up.{level}.block.{i}", current, channels[level])
            current = channels[level]
        if level > 0:
            layer(out, f"decoder.up.{level}.upsample.conv", current, current, 3, 3)
    layer(out, "decoder.norm_out", 128), layer(out, "decoder.conv_out", 3, 128, 3, 3)
    layer(out, "quant_conv", 8, 8, 1, 1), layer(out, "post_quant_conv", 4, 4, 1, 1)
    return {f"first_stage_model.{k}": v for k, v in out.items()}


def open_clip_shapes() -> dict:
    d, mlp, layers = 1024, 4096, 24
    out: dict = {"positional_embedding": (77, d), "text_projection": (d, d), "logit_scale": ()}
    layer(out, "token_embedding", 49408, d, bias=False)
    for i in range(layers):
        block = f"transformer.resblocks.{i}"
        layer(out, f"{block}.ln_1", d), layer(out, f"{block}.ln_2", d)
        out[f"{block}.attn.in_proj_weight"], out[f"{block}.attn.in_proj_bias"] = (3 * d, d), (3 * d,)
        layer(out, f"{block}.attn.out_proj", d, d), layer(out, f"{block}.mlp.c_fc", mlp, d), layer(out, f"{block}.mlp.c_proj", d, mlp)
    layer(out, "ln_final", d)
    return {f"cond_stage_model.model.{k}": v for k, v in out.items()}


def numbered(shapes: dict) -> dict:
    """Every tensor filled with its number; the thirds of a fused projection add 0, 1/4 and 1/2."""
    out = {}
    for i, (key, shape) in enumerate(shapes.items()):
        value = torch.tensor(float(i)).expand(shape)
        if ".in_proj_" in key:
            rows = torch.tensor([i, i + 0.25, i + 0.5]).repeat_interleave(shape[0] // 3)
            value = rows.reshape(-1, *[1] * (len(shape) - 1)).expand(shape)
        out[key] = value
    return out


def traced(shapes: dict, converted: dict, module) -> list:
    """[key, parameter] rows, or [key, parameter, third]; all parameters of the module, with its shapes, and nothing else."""
    keys, rows = list(shapes), []
    wanted = {k: tuple(v.shape) for k, v in module.state_dict().items() if not k.endswith("position_ids")}
    with_prefix = lambda k: k if k in wanted else k.removeprefix("text_model.")
    for name, value in converted.items():
        number = float(value.reshape(-1)[0])
        assert bool((value == number).all()), name
        if name.endswith("position_ids") or name.startswith("text_projection") or name.endswith("logit_scale"):
            continue
        key, third = keys[int(number)], round((number % 1) * 4)
        assert tuple(value.shape) == wanted.pop(with_prefix(name)), name
        rows.append([key, name, third] if ".in_proj_" in key else [key, name])
    assert not wanted, wanted
    return rows


def text_module(version: int):
    width, mlp, layers = TEXTS[version]
    config = CLIPTextConfig(hidden_size=width, intermediate_size=mlp, num_hidden_layers=layers, num_attention_heads=width // 64)
    with torch.device("meta"):
        return CLIPTextModel(config)


def key_rows() -> dict:
    parts: dict = {}
    for version in (1, 2):
        shapes = unet_shapes(version)
        with torch.device("meta"):
            unet = UNet2DConditionModel(**UNETS[version])
        rows = traced(shapes, single_file.convert_ldm_unet_checkpoint(numbered(shapes), unet.config), unet)
        assert len(rows) == len(shapes) == 686 and parts.setdefault("unet", rows) == rows
    shapes = vae_shapes()
    with torch.device("meta"):
        vae = AutoencoderKL(**VAE)
    parts["vae"] = traced(shapes, single_file.convert_ldm_vae_checkpoint(numbered(shapes), vae.config), vae)
    assert len(parts["vae"]) == len(shapes) == 248
    text = text_module(1)
    names = [k if k.startswith("text_model.") else f"text_model.{k}" for k in text.state_dict() if not k.endswith("position_ids")]
    shapes = {f"cond_stage_model.transformer.{n}": tuple(v.shape) for n, v in zip(names, text.state_dict().values())}
    parts["text1"] = traced(shapes, single_file.convert_ldm_clip_checkpoint(numbered(shapes)), text)
    assert len(parts["text1"]) == 196
    shapes, text = open_clip_shapes(), text_module(2)
    converted = single_file.convert_open_clip_checkpoint(text, numbered(shapes))
    # Layer 23 is not part of the encoder; diffusers drops it by a list of its own.
    parts["text2"] = traced(shapes, converted, text)
    assert len(parts["text2"]) == 2 + 23 * 16 + 2
    return parts


def main() -> None:
    rows = key_rows()
    write_json(FIXTURES / "ldmKeys" / "keys.json", {"script": "scripts/reference/ldmKeys.py", **rows})


if __name__ == "__main__":
    main()
