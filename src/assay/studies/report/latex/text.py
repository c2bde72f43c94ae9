"""Text for LaTeX: what is special is escaped, signs outside of ASCII become commands, what has none its code point.

So a file compiles with pdfLaTeX whatever a prompt or statement holds, and loses nothing: an unknown sign is shown as U+4E2D.
"""

from __future__ import annotations

import unicodedata

_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}", "'": "'",
}  # fmt: skip
_SIGNS = {
    "−": "$-$", "≥": r"$\ge$", "≤": r"$\le$", "≠": r"$\ne$", "≈": r"$\approx$", "×": r"$\times$", "·": r"$\cdot$",
    "±": r"$\pm$", "→": r"$\to$", "←": r"$\leftarrow$", "↔": r"$\leftrightarrow$", "∞": r"$\infty$", "√": r"$\surd$",
    "Σ": r"$\Sigma$", "Δ": r"$\Delta$", "Π": r"$\Pi$", "Ω": r"$\Omega$", "∂": r"$\partial$", "∈": r"$\in$", "°": r"$^\circ$",
    "²": r"$^2$", "³": r"$^3$", "½": r"$\frac12$", "–": "--", "—": "---", "…": r"\ldots{}", "“": "``", "”": "''",
    "‘": "`", "’": "'", "„": r"\quotedblbase{}", "«": r"\guillemotleft{}", "»": r"\guillemotright{}", "§": r"\S{}",
    "•": r"\textbullet{}", "€": r"\texteuro{}", "£": r"\pounds{}", "␣": r"\textvisiblespace{}", "↵": r"$\hookleftarrow$",
    "\u00a0": "~", "\u2009": r"\,", "\u202f": r"\,", "ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}", "ø": r"\o{}", "Ø": r"\O{}",
    "ł": r"\l{}", "Ł": r"\L{}", "ı": r"\i{}", "å": r"\aa{}", "Å": r"\AA{}", "œ": r"\oe{}", "Œ": r"\OE{}",
}  # fmt: skip
_GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "varepsilon", "ζ": "zeta", "η": "eta", "θ": "theta",
    "ι": "iota", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "π": "pi", "ρ": "rho", "σ": "sigma",
    "τ": "tau", "υ": "upsilon", "φ": "varphi", "χ": "chi", "ψ": "psi", "ω": "omega",
}  # fmt: skip
_ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0308": '"', "\u0304": "=", "\u0307": ".", "\u030c": "v",
    "\u0306": "u", "\u030b": "H", "\u0327": "c", "\u0328": "k",
}  # fmt: skip


def escape(text: object) -> str:
    """Text as LaTeX shows it, line ends as blanks."""
    return "".join(map(_sign, " ".join(str(text).split())))


def _sign(sign: str) -> str:
    if sign in _SPECIAL:
        return _SPECIAL[sign]
    if sign.isascii():
        return sign if sign.isprintable() else _code_point(sign)
    if sign in _SIGNS:
        return _SIGNS[sign]
    if sign in _GREEK:
        return rf"$\{_GREEK[sign]}$"
    base, *marks = list(unicodedata.normalize("NFD", sign))
    if marks and base.isascii() and base.isalpha() and all(mark in _ACCENTS for mark in marks):
        letter = rf"\{base}" if base in "ij" and any(_ACCENTS[mark] not in "ckH" for mark in marks) else base
        for mark in marks:
            letter = rf"\{_ACCENTS[mark]}{{{letter}}}"
        return letter
    return _code_point(sign)


def _code_point(sign: str) -> str:
    return rf"\texttt{{U+{ord(sign):04X}}}"
