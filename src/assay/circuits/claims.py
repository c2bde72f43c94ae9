"""What the results of circuit methods claim, and which controls they hold already.

Scores claim that their best components carry the behaviour; that needs no word. Results say here which number is meant. A
method that ranks, compares or chooses what others have measured claims nothing of its own, and says why.
"""

from __future__ import annotations

from assay.core.claims import Beside, Claim, Unclaimed

SET = "a set of parts has no counterpart in another layer: sets drawn at random are the control"
RANDOM_CIRCUITS = r"random \d+"

CIRCUIT = Claim(
    "localisation",
    variable="kept",
    at={"circuit": "found"},
    beside={"random": Beside("kept", "circuit", RANDOM_CIRCUITS)},
    without={"other_layer": SET},
)
"""A circuit keeps the behaviour: beside random ones of as many edges."""
CURVE = Claim(
    "localisation",
    variable="kept",
    at={"ranking": "absolute"},
    over="all",
    beside={"random": Beside("kept", "ranking", RANDOM_CIRCUITS)},
    without={"other_layer": SET},
)
"""Circuits of all sizes by the size of scores: beside random rankings."""
HEADS = Claim(
    "localisation",
    variable="kept",
    at={"ranking": "found"},
    over="all",
    beside={"random": Beside("kept_random", "set")},
    without={"other_layer": SET},
)
"""Sets of heads that are kept: beside random sets of the same sizes."""
ROLES = Claim(
    "localisation",
    variable="count",
    over="all",
    without={
        "random": "each test has a control of its own in the result (`control`)",
        "other_layer": "each test has a control of its own in the result (`control`)",
    },
)
"""Heads have roles: how many do, beside a network before training."""

PLACES = Claim("localisation", variable="effect", absolute=True)
"""Parts at positions: the largest effects, beside other parts and positions."""

SEARCHED = Claim(
    "representation",
    variable="correct",
    beside={
        "majority": Beside("chance"),
        "random_direction": Beside("random"),
        "untrained": Beside("untrained"),
    },
    without={
        "bag_of_words": "what an interchange should answer depends on two prompts: no text says it",
        "shuffled_labels": "the search in a network with shuffled weights says what any labels would give (`untrained`)",
    },
)
"""A variable is aligned with a part of a place that was searched for."""
WHOLE = Claim(
    "representation",
    variable="correct",
    beside={"majority": Beside("chance"), "untrained": Beside("untrained")},
    without={
        "bag_of_words": "what an interchange should answer depends on two prompts: no text says it",
        "random_direction": "the whole place is swapped: there is no direction in it",
        "shuffled_labels": "nothing was fitted to labels",
    },
)
"""A variable is aligned with a whole place."""

BASELINE = Unclaimed("it is a baseline: what others are compared with")
CHOSEN = Unclaimed(
    "it chooses by scores that others made; what the choice keeps on other prompts has controls of its own"
)
COMPARED = Unclaimed("it compares numbers that others made, and chance is in the result where there is one")
EXAMINED = Unclaimed("it asks what is wrong with a claim that another step makes")
PLAIN = Unclaimed("it says what the model does, and of no part that it does it")
