"""Two small tokenizers, built here, that split text in opposite ways: one token for each word, and a few bytes each."""

from __future__ import annotations

import re
from functools import lru_cache

from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from assay.data import task, tasks

PIECE = r"\d|[^\W\d]+|[^\w\s]"


@lru_cache(maxsize=1)
def word_level() -> PreTrainedTokenizerFast:
    """Every word of every family is one token, and so is every digit; spaces are no tokens."""
    texts = [text for name in tasks() if name != "induction" for text in _texts(name)]
    return _of_pieces(texts, PIECE)


def two_digits(whole: tuple[str, ...]) -> PreTrainedTokenizerFast:
    """Two digits are a token, and so are the years `whole`."""
    pattern = "|".join([*whole, r"\d\d", PIECE])
    return _of_pieces([*_texts("greater-than"), *whole, *(f"{year:02d}" for year in range(100))], pattern)


def _of_pieces(texts: list[str], pattern: str) -> PreTrainedTokenizerFast:
    pieces = sorted({piece for text in texts for piece in re.findall(pattern, text)})
    vocabulary = {piece: i for i, piece in enumerate(["[UNK]", *pieces])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r"\s+"), "removed"), pre_tokenizers.Split(Regex(pattern), "isolated")]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]")


def _texts(name: str) -> list[str]:
    found: list[str] = []
    for split in ("train", "validation", "test"):
        for example in task(name, split=split, seed=1):
            answers = example.answers + example.wrong + example.corrupt_answers + example.corrupt_wrong
            found += [str(example.clean), str(example.corrupt), *(str(answer) for answer in answers)]
    return found


@lru_cache(maxsize=1)
def byte_level() -> PreTrainedTokenizerFast:
    """Byte-level BPE with next to no merges: words are many tokens; a beginning-of-text token is added."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevelDecoder()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["the theory of the thing is that the other one is here"] * 4, trainer)
    tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>")
