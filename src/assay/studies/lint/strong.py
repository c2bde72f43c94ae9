"""Words that say more than a study can show, by what they claim, with the reason and what to say instead.

    mind        the model knows, understands, wants, human-like: a behaviour or a score is what was measured
    certain     proves, always, clearly: an interval over some examples rules nothing out beyond them
    cause       causes, drives, is needed (`causes.CAUSAL`): needs a step that intervenes
    unique      the circuit for, the neuron that: that there is no other was not shown
    general     we show that language models …: one model, one task
    absent      has no effect: a small number is no proof of none

A word is let pass where it is denied, asked or hedged (`does not prove`, `whether it knows`, `may cause`), and where it is
quoted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from assay.studies.lint.causes import CAUSAL

Kind = Literal["mind", "certain", "cause", "unique", "general", "absent"]

_WHO = (
    r"(?:models?|networks?|transformers?|LLMs?|LMs?|GPT-?\w*|heads?|neurons?|layers?|MLPs?|features?|circuits?|it|they)"
)
_VERBS = (
    r"(?:knows?|knew|understands?|understood|believes?|believed|thinks?|wants?|wanted|intends?|realises?|realizes?|tries|try"
    r"|remembers?|feels?|imagines?|deceives?|lies|lie|reasons?|figures? out|is aware|are aware|is conscious|grasps?|plans?"
    r"|decides? to|chooses to|recogni[sz]es? that|notices?|(?:is|are) thinking"
    r"|(?:has|have) (?:learn(?:ed|t)|acquired) the concept)"
)
_FOR = (
    r"for(?! (?:comparison|reference|example|instance|steering|training|testing|evaluation|probing|each|every|all|which"
    r"|later|use|a given|this purpose)\b)"
)
"""What a part is the one of, and not what it is used for."""
PATTERNS: dict[Kind, re.Pattern[str]] = {
    "mind": re.compile(
        rf"\b{_WHO}\s+(?:(?:\w+ly|really|truly|already|only|also|just)\s+)?(?P<word>{_VERBS})\b"
        r"|\b(?:models?|networks?|transformers?|LLMs?)['’]s?\s+(?:(?:internal|inner|own|true|real|hidden|latent)\s+)?"
        r"(?P<noun>knowledge|beliefs?|understanding|intentions?|goals?|intuitions?|thoughts?)\b"
        r"|\b(?P<like>human-?like|human-level|like (?:a )?humans?|true understanding"
        r"|genuine(?:ly)? (?:understand\w*|reason\w*))\b",
        re.IGNORECASE,
    ),
    "certain": re.compile(
        r"\b(?P<word>prov(?:e|es|ed|en|ing)(?! (?:\w+ )?(?:lemma|theorem|proposition|corollary|bound)\b)"
        r"|proof (?:that|of)|always|never|definitely|certainly|undoubtedly|unquestionably"
        r"|without (?:a )?doubt|beyond (?:any |all |a )?(?:reasonable )?doubt|it is certain"
        r"|clearly|obviously|evidently|conclusive(?:ly)?|guarantee[sd]?|undeniabl[ey]|in all cases"
        r"|perfectly (?:explain|predict|account)\w*|entirely (?:explain|account|due to)\w*"
        r"|(?:on|for|in|across) (?:all|every|any) (?:prompts?|inputs?|sentences?|examples?|wordings?))\b",
        re.IGNORECASE,
    ),
    "unique": re.compile(
        r"\b(?P<word>the (?:full |complete |entire |whole |true |real |actual )?(?:circuit|mechanism|algorithm)"
        rf"(?=\s+(?:{_FOR}|of|behind|by which|that(?! (?:was|were|is|we|had)\b)|responsible|underlying))"
        r"|the only\b(?! (?:difference|exception|change|argument|input|setting|one we|ones we)\b)"
        r"|the (?:\w+ )?(?:neuron|feature|head|direction|subspace)"
        rf"(?=\s+(?:{_FOR}|that (?:represents?|encodes?|stores?|detects?|computes?)|responsible))"
        r"|fully (?:explains?|accounts? for))",
        re.IGNORECASE,
    ),
    "cause": CAUSAL,
    "general": re.compile(
        r"\b(?P<word>(?:large )?language models|LLMs|transformers|neural networks|all models|any model)\b",
        re.IGNORECASE,
    ),
    "absent": re.compile(
        r"\b(?P<word>(?:has|have|had) no (?:effect|influence|role)|plays? no role|makes? no difference"
        r"|(?:has|have|had) nothing to do|(?:has|have|had) (?:zero|no causal) (?:effect|influence)|is irrelevant"
        r"|are irrelevant|(?:does|do|did) not (?:matter|affect|contribute|depend)|is unaffected|are unaffected)\b",
        re.IGNORECASE,
    ),
}
_FINDS = re.compile(
    r"\b(we|our|this|these|results?|study|paper)\b[^.]*\b(show|shows|find|finds|found|demonstrate|demonstrates|reveal|reveals"
    r"|conclude|establish|imply|implies|confirm|confirms)\b|\b(therefore|thus|hence)\b",
    re.IGNORECASE,
)
_SOFT = re.compile(
    r"(?:\b(?:not|no|nor|neither|never|cannot|without|whether|if|may|might|could|would|hardly|nothing|none|unclear|question"
    r"|claim(?:s|ed|ing)?|say(?:s|ing)?|suggests?|hypothes\w+)|n['’]t)\b(?:\W+\w+){0,4}\W*$",
    re.IGNORECASE,
)
_DONE = re.compile(
    r"^\s+(?:been\s+)?(?:ablated|patched|used|run|trained|measured|changed|shown|seen|tested|kept|drawn|included|updated"
    r"|told|given|read|made|removed)\b",
    re.IGNORECASE,
)
_REPORTED = re.compile(
    r"\b(?:in|see) (?:the )?(?:appendix|supplement\w*|table|figure|fig\.|section)\b|\b(?:we|was|were|is|are) (?:\w+ )?"
    r"(?:train|fit|tune|measure|compute|draw|sample|average|evaluate|run|use|report|list|print|plot|record|store)(?:s|d|ed)?\b",
    re.IGNORECASE,
)
"""Where `on all examples` says what was done, or where it is printed."""
_PART = re.compile(
    r"\b(L\d+|heads?|MLPs?|layers?(?! ?norm)|neurons?|features?|directions?|components?|circuits?|edges?|attention)\b",
    re.I,
)
_LOOSE = re.compile(
    r"^(?:caus(?:e|al|ing)|controls?|makes?|needs?|(?:is|are) (?:needed|enough)|produc\w+|driv\w+|decid\w+|result\w*"
    r"|implement\w*|leads? to|the circuit|determines|essential|crucial|indispensable"
    r"|(?:is|are) explained by|necessary|sufficient|because of|due to|responsible for|through which|always|never)$",
    re.IGNORECASE,
)
"""Words that everyday text is full of: in free text they count only shortly behind what a study is about."""
_ABOUT = re.compile(
    rf"{_PART.pattern}|\b(?:models?|networks?|transformers?|answers?|predictions?|it|they)\b", re.IGNORECASE
)
_NEAR = 48
"""Characters before a word in which its subject is looked for."""


@dataclass(frozen=True)
class Word:
    """A strong word in a sentence."""

    kind: Kind
    text: str
    start: int


def strong_words(sentence: str, *, loose: bool = True) -> Iterator[Word]:
    """Strong words of a sentence, each kind at its first place. `loose`: everyday words of cause count anywhere.

    Cost: a few regular expressions for each sentence.
    """
    if sentence.rstrip().endswith("?"):
        return
    taken: list[tuple[int, int]] = []
    for kind, pattern in PATTERNS.items():
        for match in pattern.finditer(sentence):
            start, stop, text = _word(match)
            overlaps = any(start < end and begin < stop for begin, end in taken)
            if overlaps or _lets_pass(sentence, kind, start, stop):
                continue
            if not loose and kind in ("cause", "certain") and _everyday(sentence, start, text):
                continue
            taken.append((start, stop))
            yield Word(kind, text, start)
            break


def _word(match: re.Match[str]) -> tuple[int, int, str]:
    name = match.lastgroup or 0
    return match.start(name), match.end(name), match.group(name)


def _lets_pass(sentence: str, kind: Kind, start: int, stop: int) -> bool:
    """Whether the word is denied, hedged, quoted, or says what was done rather than what was found."""
    before, after = sentence[:start], sentence[stop:]
    if kind != "absent" and _SOFT.search(before[-60:]):
        return True
    if kind == "certain" and (_DONE.match(after) or before.rstrip().endswith(("almost", "nearly"))):
        return True
    if re.match(r"(?:on|for|in|across) ", sentence[start:stop]) and _REPORTED.search(sentence):
        return True
    if kind == "general" and not _FINDS.search(before):
        return True
    return _quoted(before, after)


def _quoted(before: str, after: str) -> bool:
    opened = (
        before.rfind("“") > before.rfind("”") or before.count('"') % 2 == 1 or before.rfind("``") > before.rfind("''")
    )
    return opened and bool(re.search("”|\"|''", after))


def _everyday(sentence: str, start: int, text: str) -> bool:
    """Whether a loose word stands without a part of the network (or the model, for `always`) beside it."""
    if not _LOOSE.match(text):
        return False
    about = _ABOUT if text.lower() in ("always", "never") else _PART
    stop = start + len(text)
    return not (
        about.search(sentence[max(0, start - _NEAR) : start]) or _PART.search(sentence[stop : stop + _NEAR // 3])
    )
