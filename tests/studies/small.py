"""A whole study on a small random model with a tokenizer of words: seconds, and everything is real but the weights."""

from __future__ import annotations

from pathlib import Path

import torch
from tests.data.small_tokenizers import word_level
from transformers import LlamaConfig, LlamaForCausalLM

TEXT = """\
title: Small
question: Do all steps work on a real, if untrained, model?
data:
  find: {task: ioi, split: train, n: 4, templates: [train-2-ABBA, train-2-BABA]}
  test: {task: ioi, split: test, n: 6}
steps:
  accuracy: {method: task_accuracy, data: test}
  residual: {method: patch_residual, data: find, settings: {direction: denoise, positions: [S2, end]}}
  enough: {method: patch_heads, data: find, settings: {direction: denoise}}
  needed: {method: patch_heads, data: find, settings: {direction: noise}}
  ranking: {method: average_scores, data: find, needs: {first: enough, second: needed}}
  weights: {method: head_weight_norms, data: find}
  chosen: {method: smallest_heads, data: test, needs: {scores: ranking}, settings: {ablation: counterfactual}}
  kept:
    method: keep_set
    data: test
    needs: {chosen: chosen, scores: ranking, rival: weights}
    settings: {ablation: counterfactual, random_sets: 2}
  attention: {method: attention_patterns, data: test, needs: {scores: chosen}, settings: {top: 2}}
hypotheses:
  - id: chance
    statement: An untrained model is at chance.
    quantity: {step: accuracy, variable: correct}
    prediction: "in [0.1, 0.9]"
    smallest_effect: 0.5
  - id: enters_at_s2
    statement: Before any block, everything is at the token that differs.
    quantity: {step: residual, variable: share, coords: {layer: 1, pos: end}}
    prediction: ">= 0.999"
    refuted_if: "< 0.5"
    smallest_effect: 0.1
    baselines:
      - {name: at the token itself, quantity: {step: residual, variable: share, coords: {layer: 1, pos: S2}}}
analysis: {resamples: 200}
limitations: [The model is untrained.]
"""


def model_folder(path: Path) -> Path:
    """Two layers of four heads, with a tokenizer that has one token for each word."""
    torch.manual_seed(0)
    tokenizer = word_level()
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, initializer_range=0.2,
    )  # fmt: skip
    LlamaForCausalLM(config).eval().save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def study_file(path: Path) -> Path:
    """The study, as a file."""
    path.write_text(TEXT, encoding="utf-8")
    return path
