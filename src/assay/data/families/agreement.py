"""Subject-verb agreement: "The keys near the cabinet" → " are". Counterfactual: the subject in the other number.

With an attractor, another noun of the opposite number stands between the subject and the verb. Source: Linzen et al.
2016, arXiv:1611.01368.
"""

from __future__ import annotations

from assay.data.example import Example
from assay.data.family import Draw, Family, Make, register
from assay.data.lexicon import SPLITS
from assay.data.template import Template, contrast, templates
from assay.data.wordlists.things import NOUNS

SINGULAR = (" is", " was", " has")
PLURAL = (" are", " were", " have")
SIMPLE = {
    "train": (
        "The {subject}",
        "Today the {subject}",
        "They told us that the {subject}",
        "I do not know why the {subject}",
        "Last year, the {subject}",
    ),
    "validation": ("We believe that the {subject}", "In this town, the {subject}", "It seems the {subject}"),
    "test": (
        "She said that the {subject}",
        "For a long time the {subject}",
        "Nobody asked whether the {subject}",
        "At the moment, the {subject}",
    ),
}
ATTRACTED = {
    "train": (
        "The {subject} near the {attractor}",
        "The {subject} with the {attractor}",
        "Today the {subject} next to the {attractor}",
        "I know that the {subject} behind the {attractor}",
    ),
    "validation": ("The {subject} beside the {attractor}", "They told us the {subject} across from the {attractor}"),
    "test": (
        "The {subject} in front of the {attractor}",
        "She said that the {subject} by the {attractor}",
        "It seems the {subject} close to the {attractor}",
    ),
}


def _make(attracted: bool) -> Make:
    def make(template: Template, draw: Draw) -> Example:
        noun, between = draw.two_rows(NOUNS, single=(0, 1))
        plural = draw.rng.random() < 0.5
        attractor = {"attractor": between[0 if plural else 1]} if attracted else {}
        first, second, places = contrast(
            template,
            {"subject": noun[int(plural)], **attractor},
            {"subject": noun[int(not plural)], **attractor},
        )
        right, wrong = (PLURAL, SINGULAR) if plural else (SINGULAR, PLURAL)
        return Example(
            clean=first,
            corrupt=second,
            positions=places,
            answers=right,
            wrong=wrong,
            corrupt_answers=wrong,
            corrupt_wrong=right,
            names=(*noun, *between) if attracted else noun,
        )

    return make


register(
    Family(
        name="agreement",
        summary="singular or plural verb",
        templates={split: templates(*SIMPLE[split], prefix=split) for split in SPLITS},
        make=_make(attracted=False),
        source="arXiv:1611.01368",
    )
)
register(
    Family(
        name="agreement-attractor",
        summary="singular or plural verb, with a noun of the other number in between",
        templates={split: templates(*ATTRACTED[split], prefix=split) for split in SPLITS},
        make=_make(attracted=True),
        source="arXiv:1611.01368",
    )
)
