"""How much of a language model learns: all of it, low-rank adapters in its layers, or nothing but what is on top.

`full`    every weight
`lora`    W + (a / r) B A for each linear layer of the transformer, W frozen (Hu et al., ICLR 2022)
`frozen`  no weight; what learns is the head, a bottleneck on what was read
"""

from typing import Literal

from torch import nn

from streams.errors import Misuse

Tuning = Literal["full", "lora", "frozen"]
RANK = 8
SCALE = 16
"""a of the module: adapters learn as fast at any rank."""
DROPOUT = 0.1


def tune(model: nn.Module, tuning: Tuning) -> None:
    """Set which weights of a language model learn; `lora` puts adapters into it.

    Raises:
        Misuse: a package is missing.
    """
    model.requires_grad_(tuning == "full")
    if tuning == "lora":
        try:
            from peft import LoraConfig, inject_adapter_in_model
        except ModuleNotFoundError as exc:
            raise Misuse(f"lora needs the package {exc.name}: pip install 'streamrank[train]'") from exc
        config = LoraConfig(r=RANK, lora_alpha=SCALE, lora_dropout=DROPOUT, target_modules="all-linear")
        inject_adapter_in_model(config, model)


def merge(model: nn.Module) -> None:
    """Work adapters into the weights that they adapt, so that what is saved is a plain model again."""
    from peft.tuners.lora import LoraLayer

    for name, layer in list(model.named_modules()):
        if isinstance(layer, LoraLayer):
            layer.merge()
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, layer.get_base_layer())
