"""Sentiment: a review and its opposite.

`sentiment` ends in "Sentiment:" and is completed; `sentiment-statements` is for probing.

Counterfactual: the adjective and the verb are those of the other sentiment. Source: Tigges et al. 2023,
arXiv:2310.15154.
"""

from __future__ import annotations

from assay.data.example import Example
from assay.data.family import Draw, Family, Make, register
from assay.data.lexicon import SPLITS, Lexicon, table, words
from assay.data.template import Template, contrast, templates

ADJECTIVES = table(
    "praising and blaming adjectives",
    """
    great | terrible
    wonderful | awful
    amazing | horrible
    good | bad
    excellent | dreadful
    brilliant | boring
    beautiful | ugly
    fantastic | disappointing
    perfect | poor
    delightful | annoying
    charming | dull
    superb | ridiculous
    lovely | nasty
    impressive | weak
    magnificent | miserable
    incredible | pathetic
    funny | stupid
    remarkable | useless
    fascinating | painful
    fine | cheap
    """,
)
VERBS = table(
    "praising and blaming verbs",
    """
    loved | hated
    enjoyed | disliked
    liked | regretted
    admired | despised
    adored | detested
    praised | criticized
    appreciated | resented
    recommended | condemned
    """,
)
TOPICS = words(
    "topics of reviews",
    "movie film book meal song show game hotel play concert dinner trip story album lunch restaurant novel series place"
    " coffee",
)
STATEMENTS = {
    "train": (
        "I thought the {topic} was {adjective}. I {verb} it.",
        "The {topic} was {adjective} and everyone {verb} it.",
        "A very {adjective} {topic}! We {verb} every minute.",
    ),
    "validation": (
        "My friends {verb} the {topic}: they found it {adjective}.",
        "In short, this {topic} is {adjective}. She {verb} it.",
    ),
    "test": (
        "They {verb} that {adjective} {topic}.",
        "Honestly, the {topic} seemed {adjective} to me and I {verb} it.",
        "He {verb} the {topic}. It really was {adjective}.",
    ),
}
FRAMES = {
    "train": "Review: {}\nSentiment:",
    "validation": "Text: {}\nThe sentiment is",
    "test": '"{}"\nSentiment of this review:',
}
LABELS = {
    "train": (" Positive", " Negative"),
    "validation": (" positive", " negative"),
    "test": (" Positive", " Negative"),
}


def _pick(draw: Draw, lexicon: Lexicon[tuple[str, ...]]) -> tuple[str, ...]:
    return draw.rng.choice(draw.rows(lexicon, single=(0, 1)))


def _make(asked: bool) -> Make:
    def make(template: Template, draw: Draw) -> Example:
        adjectives, verbs, topic = _pick(draw, ADJECTIVES), _pick(draw, VERBS), draw.pick(TOPICS)
        side = int(draw.rng.random() < 0.5)
        values = [{"adjective": adjectives[s], "verb": verbs[s], "topic": topic} for s in (side, 1 - side)]
        first, second, places = contrast(template, values[0], values[1])
        right, wrong = ((LABELS[draw.split][s],) if asked else () for s in (side, 1 - side))
        return Example(
            clean=first,
            corrupt=second,
            positions=places,
            answers=right,
            wrong=wrong,
            corrupt_answers=wrong,
            corrupt_wrong=right,
            label="positive" if side == 0 else "negative",
            corrupt_label="negative" if side == 0 else "positive",
            names=(*adjectives, *verbs, topic),
        )

    return make


def _framed(split: str) -> tuple[str, ...]:
    return tuple(FRAMES[split].replace("{}", text) for text in STATEMENTS[split])


register(
    Family(
        name="sentiment",
        summary="positive or negative, asked for",
        templates={split: templates(*_framed(split), prefix=split) for split in SPLITS},
        make=_make(asked=True),
        source="arXiv:2310.15154",
    )
)
register(
    Family(
        name="sentiment-statements",
        summary="positive or negative: statements alone",
        templates={split: templates(*STATEMENTS[split], prefix=split) for split in SPLITS},
        make=_make(asked=False),
        use="probing",
        source="arXiv:2310.15154",
        judge=("\nSentiment:", " Positive", " Negative"),
    )
)
