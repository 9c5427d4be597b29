"""Writes test/fixtures/oracle/*BySdScripts.json: trainings like those of oracle.py, done by kohya-ss/sd-scripts itself.

    PYTHONPATH=slow python oracle_sd_scripts.py SD_SCRIPTS_0.6.6 SD_SCRIPTS_0.9.1 [CASE ...]

The checkouts are of v0.6.6, whose `train_network.py`, `fine_tune.py`, `train_db.py`, `train_textual_inversion.py` and
`train_textual_inversion_XTI.py` run from a command line to the file that they write, on a CPU, in float32. Nothing of them is changed but
what they draw: the order of the batches, which pictures are mirrored, timesteps, noise, first weights and dropout are those of the
library. Losses, norms and rates are noted where they call accelerate and PyTorch; final weights are read from their files.
"""

import importlib
import subprocess
import sys
import tempfile
from pathlib import Path

import diffusers
import torch
from diffusers.models import embeddings
from safetensors.torch import load_file

# tiny_models.py replaces it by an exact one.
usual_embedding = embeddings.get_timestep_embedding

from formula import FIXTURES, write_json  # noqa: E402
from oracle import change_of  # noqa: E402
from oracle_training import sizes_of  # noqa: E402
from sd_scripts import StandInFinder  # noqa: E402
from sd_scripts_cases import CASES  # noqa: E402
from sd_scripts_inputs import SCRIPTS, command_line, tokenizer_of, write_data, write_loras, write_model  # noqa: E402
from sd_scripts_run import Run, units  # noqa: E402
from tiny_models import TinyModel  # noqa: E402


def load(checkout, script):
    """Modules of the checkout. diffusers has moved two since; stand-ins take the place of what only pictures need."""
    sys.meta_path.insert(0, StandInFinder(["torchvision", "sklearn", "library.lpw_stable_diffusion"]))
    for name in ("unet_2d_condition", "unet_2d_blocks"):
        moved = importlib.import_module(f"diffusers.models.unets.{name}")
        sys.modules[f"diffusers.models.{name}"] = moved
        setattr(diffusers.models, name, moved)
    sys.path.insert(0, str(checkout))
    names = (script, "library.train_util", "library.custom_train_functions", "networks.lora", "networks.dylora")
    modules = [importlib.import_module(name) for name in names]
    # Attention layers, which are within the other, had another name in the diffusers of those days, so that this list did not find them.
    modules[3].LoRANetwork.UNET_TARGET_REPLACE_MODULE = ["Transformer2DModel"]
    modules[4].DyLoRANetwork.UNET_TARGET_REPLACE_MODULE = ["Transformer2DModel"]
    assert all(Path(module.__file__).is_relative_to(checkout) for module in modules)
    return modules


def network_weights(case, run, output):
    after = {key: value.double() for key, value in load_file(output / "reference.safetensors").items()}
    names = {key.split(".")[0] for key in run.before}
    assert set(after) == {f"{name}.{part}" for name in names for part in ("lora_down.weight", "lora_up.weight", "alpha")}
    if case.get("networkModule") == "networks.dylora":
        unit = int(dict(word.split("=") for word in case["networkArguments"])["unit"])
        parts = ("lora_down.weight", "lora_up.weight")
        after = {f"{name}.{key}": v for name in names for key, v in units({p: after[f"{name}.{p}"] for p in parts}, unit).items()}
    return run.before, after


def model_weights(case, _run, output):
    before = {name: p.detach() for name, p in TinyModel(case["model"], sizes_of(case)).parameters().items()}
    files = {"unet": "diffusion_pytorch_model", "text_encoder": "model"}
    after = {}
    for part, file in files.items():
        saved = load_file(output / "reference" / part / f"{file}.safetensors")
        after |= {f"{part}.{key}": value.double() for key, value in saved.items()}
    return {name: p for name, p in before.items() if not name.startswith("vae.")}, after


def inversion_weights(case, run, output):
    after = torch.cat([rows for _, rows in sorted(load_file(output / "reference.safetensors").items())]).double()
    options = case["config"]["inversion"]
    words = tokenizer_of(case)(options["initWord"], add_special_tokens=False).input_ids
    table = TinyModel(case["model"], sizes_of(case)).text.get_input_embeddings().weight.detach()
    start = [words[row % options["vectorCount"] % len(words)] for row in range(run.rows)]
    return {"emb_params": table[start]}, {"emb_params": after}


WEIGHTS = {"train-network": network_weights, "fine-tune": model_weights, "train-db": model_weights}


def make(checkouts, name):
    case = CASES[name]
    version = case.get("reference", "v0.6.6")
    checkout = checkouts[["v0.6.6", "v0.9.1"].index(version)]
    script, train_util, custom, lora, dylora = load(checkout, SCRIPTS[case["kind"]])
    run = Run(case)
    if "inversion" in case["config"]:
        run.rows = case["config"]["inversion"]["vectorCount"] * (16 if case["kind"].endswith("xti") else 1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        output = folder / "output"
        write_model(case, folder / "model")
        start = write_loras(case, folder, lora).get("start", {})
        run.before = {key: value.double() for key, value in start.items() if not key.endswith(".alpha")}
        for repository in (train_util.TOKENIZER_PATH, train_util.V2_STABLE_DIFFUSION_PATH):
            tokenizer_of(case).save_pretrained(folder / "cache" / repository.replace("/", "_"))
        arguments = command_line(case, folder / "model", write_data(case, folder), folder / "cache", output)
        print(name, " ".join(arguments))
        # Here diffusers computes as it does for everyone.
        embeddings.get_timestep_embedding = usual_embedding
        with run(train_util, custom, [(lora, lora.LoRAModule), (dylora, dylora.DyLoRAModule)]):
            train = script.NetworkTrainer().train if run.later else script.train
            train(script.setup_parser().parse_args(arguments))
        before, after = WEIGHTS.get(case["kind"], inversion_weights)(case, run, output)
    # A file has a 1x1 kernel of DyLoRA as one.
    changes = {key: change_of(key, value, after[key].reshape(value.shape)) for key, value in before.items()}
    out = {"script": "scripts/reference/oracle_sd_scripts.py", "reference": f"sd-scripts {version}", "case": case}
    out |= {"passes": run.passes, "steps": run.steps, "changes": changes}
    write_json(FIXTURES / "oracle" / f"{name}BySdScripts.json", out)


if __name__ == "__main__":
    torch.set_num_threads(1)
    checkouts, names = sys.argv[1:3], sys.argv[3:] or list(CASES)
    if len(names) == 1:
        make([Path(checkout).resolve() for checkout in checkouts], names[0])
    else:
        # Each on its own: networks and the script of XTI change classes for good.
        for name in names:
            subprocess.run([sys.executable, __file__, *checkouts, name], check=True)
