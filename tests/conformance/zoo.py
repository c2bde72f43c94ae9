"""Tiny random models of every architecture that the conformance suite covers.

`build(name)` gives a native transformers model with random weights, and the inputs of one forward pass. A name is a
model type of transformers' causal-LM mapping ("llama"), or a class name for everything else ("BertForMaskedLM").
Nothing is downloaded. A model has two layers, or as many as it takes to hold one layer of each kind of a hybrid, and
usually fewer than 100,000 parameters; building one and running it takes about 0.1 s.
"""

from __future__ import annotations

import warnings

import torch
import transformers
from tests.conformance.zoo_classes import ENCODER_DECODERS, ENCODERS, MULTIMODAL, VISION
from tests.conformance.zoo_inputs import Inputs, inputs_of
from tests.conformance.zoo_overrides import CAUSAL_OVERRIDES, UNAVAILABLE
from tests.conformance.zoo_sizes import shrink
from tests.conformance.zoo_weights import perturb as perturb_weights
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

MOST_PARAMETERS = 1_000_000


CLASS_OVERRIDES = ENCODERS | ENCODER_DECODERS | VISION | MULTIMODAL


class ZooError(AssertionError):
    """A tiny model came out wrong: too large, or of a class that does not exist."""


def causal_types() -> list[str]:
    """Every model type in transformers' causal-LM mapping, in its order."""
    return list(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def encoders() -> list[str]:
    """Masked language models."""
    return list(ENCODERS)


def encoder_decoders() -> list[str]:
    """Sequence-to-sequence models of text and speech."""
    return list(ENCODER_DECODERS)


def vision() -> list[str]:
    """Vision transformers, and the towers of contrastive models, text towers included."""
    return list(VISION)


def multimodal() -> list[str]:
    """Language models that read images."""
    return list(MULTIMODAL)


def everything() -> list[str]:
    """Every name that `build` takes, those in `unavailable` included."""
    return causal_types() + list(CLASS_OVERRIDES)


def unavailable() -> dict[str, str]:
    """The names that cannot be built or run here, with the reason."""
    return dict(UNAVAILABLE)


def build(name: str, *, perturb: bool = True, seed: int = 0, attention: str = "eager") -> tuple[nn.Module, Inputs]:
    """The tiny model of this name in evaluation mode, fp32, and inputs for one forward pass."""
    model_class, config = _class_and_config(name)
    _refuse_large(model_class, config)
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        model = model_class._from_config(config, attn_implementation=attention).eval()
    if perturb:
        perturb_weights(model, seed=seed)
    return model, inputs_of(name, model, seed)


def _class_and_config(name: str) -> tuple[type[PreTrainedModel], PretrainedConfig]:
    if name in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        model_class = getattr(transformers, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[name])
        config = shrink(transformers.CONFIG_MAPPING[name], CAUSAL_OVERRIDES.get(name))
        return model_class, _part_for(model_class, config)
    model_class = getattr(transformers, name)
    return model_class, shrink(model_class.config_class, CLASS_OVERRIDES[name])


def _part_for(model_class: type[PreTrainedModel], config: PretrainedConfig) -> PretrainedConfig:
    """The configuration itself, or the nested one that this class takes (the language model of a composite)."""
    candidates = [config, *vars(config).values()]
    return next((part for part in candidates if isinstance(part, model_class.config_class)), config)


def _refuse_large(model_class: type[PreTrainedModel], config: PretrainedConfig) -> None:
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        count = sum(parameter.numel() for parameter in model_class._from_config(config).parameters())
    if count > MOST_PARAMETERS:
        raise ZooError(f"{model_class.__name__} has {count:,} parameters; at most {MOST_PARAMETERS:,} are allowed")
