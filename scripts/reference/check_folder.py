"""Opens the folders that `node scripts/writeFolders.mjs` wrote, as users of the Python libraries do, and compares outputs.

    python check_folder.py [../../out/folders]

For every folder: StableDiffusionPipeline.from_pretrained finds all parts; CLIPTextModel, CLIPTokenizer, UNet2DConditionModel and
AutoencoderKL open their sub-folders alone and use every weight; token ids of the captions and outputs of the four networks
agree with `values.json`. Ends with exit code 1 when anything differs. Writes no fixture.
"""

import json
import sys
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from formula import REPOSITORY

TOLERANCE = 2e-4  # of the largest value; float32 on both sides
EXPECTED_FILES = {
    "model_index.json", "scheduler/scheduler_config.json", "text_encoder/config.json", "tokenizer/merges.txt",
    "tokenizer/special_tokens_map.json", "tokenizer/tokenizer_config.json", "tokenizer/vocab.json", "unet/config.json", "vae/config.json",
}


def load(cls, folder: Path, part: str):
    model, report = cls.from_pretrained(folder / part, output_loading_info=True, torch_dtype=torch.float32)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        assert not report.get(kind), f"{part}: {kind} {report[kind]}"
    return model.eval()


def channels_first(values, *shape):
    return torch.tensor(values).reshape(shape).permute(0, 3, 1, 2)


def outputs(folder: Path, inputs) -> dict[str, torch.Tensor]:
    text = load(CLIPTextModel, folder, "text_encoder")
    unet = load(UNet2DConditionModel, folder, "unet")
    vae = load(AutoencoderKL, folder, "vae")
    latents = channels_first(inputs["latents"], 1, 8, 8, 4)
    context = torch.tensor(inputs["context"]).reshape(1, 77, -1)
    pixels = channels_first(inputs["pixels"], 1, 64, 64, 3)
    return {
        "text": text(input_ids=torch.tensor(inputs["tokens"])).last_hidden_state,
        "unet": unet(latents, torch.tensor([inputs["timestep"]]), context).sample.permute(0, 2, 3, 1),
        "vaeEncoder": vae.quant_conv(vae.encoder(pixels)).permute(0, 2, 3, 1),
        "vaeDecoder": vae.decode(latents).sample.permute(0, 2, 3, 1),
    }


@torch.no_grad()
def check(folder: Path) -> bool:
    expected = json.loads((folder / "values.json").read_text())
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert EXPECTED_FILES <= files, EXPECTED_FILES - files
    for path in folder.rglob("*.json"):
        if path.name not in ("vocab.json", "values.json") and path.parent.name != "tokenizer":
            text = path.read_text()
            assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n", f"{path}: not as Python writes it"
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    ids = tokenizer(expected["captions"], padding="max_length", max_length=77, truncation=True).input_ids
    good = ids == expected["ids"]
    pipeline = StableDiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    print(f"{folder.name}: pad {tokenizer.pad_token!r}, ids {'equal' if good else 'DIFFER'}, scheduler "
          f"{type(pipeline.scheduler).__name__} {pipeline.scheduler.config.prediction_type}, "
          f"upcast {pipeline.unet.config.upcast_attention}, sample size {pipeline.unet.config.sample_size}")
    found = outputs(folder, expected["inputs"])
    for entry in expected["outputs"]:
        reference = found[entry["name"]]
        ours = torch.tensor(entry["values"]).reshape(entry["shape"])
        error = float((ours - reference).abs().max() / reference.abs().max())
        good &= error < TOLERANCE
        print(f"  {entry['name']}: {list(reference.shape)}, largest error {error:.1e} of the largest value {'' if error < TOLERANCE else 'TOO LARGE'}")
    picture = pipeline("a frog", num_inference_steps=2, height=64, width=64, output_type="np").images
    print(f"  two steps of the pipeline: picture {picture.shape}")
    return good


def main() -> None:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY / "out" / "folders"
    folders = sorted(path.parent for path in root.glob("*/values.json"))
    assert folders, f"{root}: nothing to check"
    results = [check(folder) for folder in folders]
    print(f"{sum(results)} of {len(results)} folders agree")
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
