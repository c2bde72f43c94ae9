"""Facts that weaken a result are told apart from those that describe it."""

from __future__ import annotations

from assay.core.caveats import caveat, caveats_in, plain_facts


def test_caveats_are_found_in_order_and_once() -> None:
    facts = (caveat("second thoughts"), "n = 5", caveat("first doubts"), caveat("second thoughts"))
    assert caveats_in(facts) == ("second thoughts", "first doubts")
    assert plain_facts(facts) == ("n = 5",)
    assert caveats_in(()) == plain_facts(()) == ()


def test_what_only_speaks_of_a_caveat_is_none() -> None:
    assert caveats_in(("there is no caveat: none",)) == ()
