"""Writes test/fixtures/textual_inversion/: learned embeddings in every form that tools save them in, by torch and safetensors.

Values are formula tensors named '<file>/<key>', normal-like with deviation 0.02.
"""

import torch
from safetensors.torch import save_file

from formula import FIXTURES, formula

FOLDER = FIXTURES / "textual_inversion"
XTI = ["IN01", "IN02", "IN04", "IN05", "IN07", "IN08", "MID", *[f"OUT{i:02}" for i in range(3, 12)]]


def rows(file: str, key: str, *shape: int, dtype=torch.float32) -> torch.Tensor:
    return torch.from_numpy(formula(f"{file}/{key}", list(shape), "normal-like", 0.02)).to(dtype)


def web_ui(file: str, parameters) -> dict:
    return {
        "string_to_token": {"*": 265}, "string_to_param": parameters, "name": file, "step": 500,
        "sd_checkpoint": "6ce0161689", "sd_checkpoint_name": "v1-5-pruned-emaonly",
    }


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    torch.save(web_ui("webUi", {"*": rows("webUi", "*", 2, 768)}), FOLDER / "webUi.pt")
    # Older versions kept a module of parameters there.
    module = torch.nn.ParameterDict({"*": torch.nn.Parameter(rows("webUiModule", "*", 1, 768), requires_grad=False)})
    torch.save(web_ui("webUiModule", module), FOLDER / "webUiModule.pt")
    torch.save({"emb_params": rows("embParams", "emb_params", 3, 768, dtype=torch.bfloat16)}, FOLDER / "embParams.pt")
    torch.save({"<frog>": rows("learnedEmbeds", "<frog>", 768)}, FOLDER / "learnedEmbeds.bin")
    save_file({"emb_params": rows("embParams", "emb_params", 3, 768)}, FOLDER / "embParams.safetensors")
    save_file({"<frog>": rows("learnedEmbeds", "<frog>", 1, 1024, dtype=torch.float16)}, FOLDER / "learnedEmbedsSd2.safetensors")
    save_file({"clip_l": rows("sdxl", "clip_l", 1, 768), "clip_g": rows("sdxl", "clip_g", 1, 1280)}, FOLDER / "sdxl.safetensors")
    layers = {layer: rows("xti", layer, 2, 768, dtype=torch.float16) for layer in XTI}
    save_file(layers, FOLDER / "xti.safetensors")
    torch.save(layers, FOLDER / "xti.pt")


if __name__ == "__main__":
    main()
