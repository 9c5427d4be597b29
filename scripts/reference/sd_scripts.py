"""Loads the data side of kohya-ss/sd-scripts from a checkout; a scripted generator to put in place of its randomness.

Packages that the data side only imports (diffusers, accelerate, torchvision and the like) are replaced by empty
stand-ins, so that any checkout loads whatever versions are installed.
"""

import contextlib
import importlib
import importlib.abc
import io
import sys
import types
from importlib.machinery import ModuleSpec
from pathlib import Path
from unittest.mock import MagicMock

import torch  # noqa: F401  before the stand-ins, which it must not meet
import transformers  # noqa: F401

from formula import hash24

STAND_INS = (
    "accelerate diffusers torchvision einops sklearn library.lpw_stable_diffusion library.huggingface_util library.original_unet "
    "library.sai_model_spec library.deepspeed_utils library.slicing_vae"
).split()


class StandIn(types.ModuleType):
    __path__: list[str] = []

    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        return MagicMock(name=name) if name[0].islower() else type(name, (), {"__init__": lambda self, *_, **__: None})


class StandInFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def __init__(self, packages=STAND_INS):
        self.packages = packages

    def find_spec(self, name, path=None, target=None):
        wanted = any(name == each or name.startswith(each + ".") for each in self.packages)
        return ModuleSpec(name, self, is_package=True) if wanted else None

    def create_module(self, spec):
        return StandIn(spec.name)

    def exec_module(self, module):
        pass


class Reference:
    """The modules of one checkout."""

    def __init__(self, checkout: Path):
        for name in [name for name in sys.modules if name == "library" or name.startswith("library.")]:
            del sys.modules[name]
        if not any(isinstance(finder, StandInFinder) for finder in sys.meta_path):
            sys.meta_path.insert(0, StandInFinder())
        sys.path.insert(0, str(checkout))
        try:
            self.train, self.config, self.model, self.custom = (
                importlib.import_module(f"library.{name}")
                for name in ("train_util", "config_util", "model_util", "custom_train_functions")
            )
        finally:
            sys.path.remove(str(checkout))
        assert Path(self.train.__file__).is_relative_to(checkout), self.train.__file__
        # The reference counts its progress; only what it returns matters here.
        self.train.tqdm = lambda items, *_, **__: items


@contextlib.contextmanager
def quiet():
    """Keeps what the reference prints; yields where to read it."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        yield printed


class ScriptedRandom:
    """Stands in for Python's `random`; `draws` lists every draw in order, in terms of three functions.

    {"float": x}                    x in [0, 1): `random()`; `uniform(a, b)` is a + (b - a) * x
    {"integer": i, "below": n}      i in 0..n-1: `randint(a, b)` is a + i with n = b - a + 1; `choice(list)` is list[i]
    {"shuffle": order}              the shuffled list is [before[i] for i in order]
    """

    def __init__(self, name: str):
        self.name = name
        self.count = 0
        self.draws: list[dict] = []

    def fraction(self) -> float:
        """A multiple of 2^-24 in [0, 1), exact in every language."""
        self.count += 1
        return int(hash24(self.name, 1, self.count)[0]) / 2**24

    def below(self, count: int) -> int:
        value = int(self.fraction() * count)
        self.draws.append({"integer": value, "below": count})
        return value

    def random(self) -> float:
        value = self.fraction()
        self.draws.append({"float": value})
        return value

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * self.random()

    def randint(self, low: int, high: int) -> int:
        return low + self.below(high - low + 1)

    def choice(self, items):
        return items[self.below(len(items))]

    def shuffle(self, items: list) -> None:
        order = sorted(range(len(items)), key=lambda _: self.fraction())
        self.draws.append({"shuffle": order})
        items[:] = [items[i] for i in order]

    def seed(self, _) -> None:
        pass


@contextlib.contextmanager
def scripted(module, name: str):
    """Replaces `random` in a module of the reference while the block runs."""
    generator, usual = ScriptedRandom(name), module.random
    module.random = generator
    try:
        yield generator
    finally:
        module.random = usual
