"""Links that lead to an account or a document whose owner can be seen.

A link to others' work identifies nobody, so links to unknown accounts are only listed, to be looked over once. A link is
a finding when it is said to be the authors' own ("our code is available at", a field such as `repository`, `push_to_hub`,
`git clone` of no known project), or when only its owner would link it (a shared document, a project of Overleaf).
"""

from __future__ import annotations

import re

from assay.studies.anonymity.finding import Certainty
from assay.studies.anonymity.lists import listed
from assay.studies.anonymity.machine import somebody
from assay.studies.anonymity.match import CERTAIN, LIKELY, POSSIBLE, Match
from assay.studies.anonymity.nearby import near
from assay.studies.anonymity.piece import Role

KNOWN = listed("projects")
"""Accounts of projects that everybody uses."""

_OWNED = near(
    r"(?P<hub>github\.com|raw\.githubusercontent\.com|gist\.github\.com|gitlab\.(?:com|[\w-]+\.\w+)|bitbucket\.org"
    r"|codeberg\.org|"
    r"huggingface\.co(?:/(?:datasets|spaces))?|hf\.co(?:/(?:datasets|spaces))?|(?:www\.)?kaggle\.com"
    r"|hub\.docker\.com/r|ghcr\.io|quay\.io|zenodo\.org/records?|osf\.io|"
    r"replicate\.com|colab\.research\.google\.com/github|mybinder\.org/v2/gh|img\.shields\.io/github/\w+"
    r"|git\.[\w.-]+)[/:](?P<owner>[A-Za-z0-9][\w.-]*)(?P<rest>/[\w.-]+)?",
    "github|gitlab.|bitbucket.org|codeberg.org|huggingface.co|hf.co|kaggle.com|hub.docker|ghcr.io|quay.io"
    "|zenodo.org|osf.io"
    "|replicate.com|mybinder.org|shields.io/|git.",
    before=32,
    after=200,
)
_PAGES = near(
    r"(?<![\w-])(?P<owner>[A-Za-z0-9][\w-]*)\.(?:(?:github|gitlab)\.io|netlify\.app|vercel\.app|hf\.space"
    r"|pages\.dev|herokuapp\.com|streamlit\.app)\b|(?:https?://"
    r"|www\.)[\w.-]+/~(?P<tilde>[A-Za-z][\w.-]+)",
    ".github.io|.gitlab.io|.netlify.app|.vercel.app|.hf.space|.pages.dev|.herokuapp.com|.streamlit.app|/~",
    before=80,
    after=80,
)
_WANDB = near(r"(?:api\.)?wandb\.ai/(?P<owner>[A-Za-z0-9][\w.-]*)", "wandb.ai/", before=6, after=100)
_SHARED = near(
    r"(?:git\.|www\.)?overleaf\.com/(?:project/|read/|\d*)?[a-z0-9]{10,}|(?:docs|drive"
    r"|sites)\.google\.com/[\w/.?=&#@~%-]{8,}"
    r"|colab\.research\.google\.com/drive/[\w-]{10,}|(?:www\.)?dropbox\.com/[\w/.?=&-]{6,}|(?:1drv\.ms"
    r"|[\w-]+\.sharepoint\.com|app\.box\.com)/[\w/.?=&-]{4,}"
    r"|(?:[\w-]+\.)?notion\.(?:so|site)/[\w/-]{8,}|[\w-]+\.slack\.com\b|(?:[\w-]+\.)?zoom\.us/(?:j|my|rec)/[\w./?=-]+|discord\.gg/\w+|forms\.gle/\w+",
    "overleaf.com|google.com/|dropbox.com|1drv.ms|sharepoint.com|app.box.com|notion.|slack.com|zoom.us|discord.gg|forms.gle",
    before=50,
    after=300,
)
_PROFILE = near(
    r"(?:www\.)?linkedin\.com/in/[\w-]+|(?:twitter|x)\.com/(?!intent|share|home|search)\w{2,}"
    r"|scholar\.google\.[\w.]+/citations\?[\w=&;-]*user=[\w-]+"
    r"|openreview\.net/profile\?id=[\w~-]+|(?:www\.)?semanticscholar\.org/author/[\w/-]+|dblp\.org/pid/[\w/-]+"
    r"|(?:www\.)?researchgate\.net/profile/[\w-]+"
    r"|orcid\.org/[\dX-]{19}|bsky\.app/profile/[\w.-]+|calendly\.com/[\w-]+|(?:mastodon|fosstodon|sigmoid|mathstodon)\.\w+/@\w+",
    "linkedin.com/in|twitter.com/|x.com/|scholar.google|openreview.net/profile|semanticscholar.org/author"
    "|dblp.org/pid|researchgate.net/profile|orcid.org/|bsky.app/profile|calendly.com/|mastodon.|fosstodon.|sigmoid.|mathstodon.",
    before=6,
    after=200,
)
_CALLS = near(
    r"(?:push_to_hub|create_repo|upload_folder|upload_file"
    r"|upload_large_folder)\([^)]{0,80}?[\"'](?P<a>[\w.-]+)/[\w.-]+[\"']"
    r"|hub_model_id\s*[=:]\s*[\"']?(?P<b>[\w.-]+)/|(?:wandb\.(?:init|login|Api)\([^)]{0,200}?"
    r"|^\s*(?:--)?(?:wandb[_-])?)entity[\"']?\s*[=:]\s*[\"']?(?P<c>[A-Za-z][\w.-]+)"
    r"|--entity[= ](?P<d>[A-Za-z][\w.-]+)|(?:hub[_-]user(?:name)?|hf[_-]user(?:name)?"
    r"|github[_-]user(?:name)?)[\"']?\s*[=:]\s*[\"']?(?P<e>[A-Za-z][\w.-]+)",
    "push_to_hub|create_repo|upload_|hub_model_id|entity|hub_user|hub-user|hf_user|hf-user|github_user|github-user",
    before=240,
    after=300,
    flags=re.M,
)
_OURS = re.compile(
    r"\b(?:our|my)\s+(?:[\w-]+\s+){0,3}?(?:code|implementation|repo\w*|models?|datasets?|data|web\w*|page|demo"
    r"|weights|checkpoints|"
    r"library|package|tool\w*|supplement\w*|artifacts?|benchmark)\b[^.!?]{0,60}$"
    r"|\bwe\s+(?:[\w-]+\s+){0,2}?(?:release|publish|open-?source|provide|share|make|host|upload"
    r"|put)\b[^.!?]{0,100}$|(?:code|data|datasets?|models?|weights|checkpoints|website|page|demo"
    r"|implementation|repository|"
    r"artifacts?|supplement\w*)\b[^.!?]{0,60}\b(?:available|found|released|hosted|accessible|published)\b[^.!?]{0,60}$"
    r"|(?:project (?:page|website)|code|website|repository|demo|our \w+)\s*(?:\(\w+\))?\s*:\s*\S{0,20}$",
    re.I | re.S,
)
_THEIRS = re.compile(
    r"\b(?:their|his|her|official|original|authors'|publicly released by|from|by)\b[^.!?]{0,60}$", re.I | re.S
)
_OURS_AFTER = re.compile(
    r"\S*\s*(?:\(ours\)|(?:is|are) (?:our|ours)\b|(?:#|//|%|--) *our\b)|[\w./-]*/(?:actions|workflows)/\S*badge", re.I
)
_CLONE = re.compile(
    r"(?:^\s*-e git\+\S*|git\s+(?:clone|remote\s+add\s+\w+)|docker\s+(?:pull|run|push))\s+(?:-\S+\s+)*\S*$", re.M
)


_VARIABLES = frozenset(("none", "null", "args", "self", "cfg", "config", "entity"))
_LOADED = near(
    r"(?:from_pretrained|load_dataset|snapshot_download"
    r"|hf_hub_download)\(\s*(?:\w+=)?[\"'](?P<owner>[A-Za-z0-9][\w.-]*)/[\w.-]+",
    "from_pretrained(|load_dataset(|snapshot_download(|hf_hub_download(",
    before=1,
    after=200,
)


_STORED = near(
    r"(?P<place>(?:gs|s3|abfss?|wasbs?|hf)://(?P<owner>[\w-]+)[\w./@-]*)"
    r"|^\s*(?:-\s+)?image:\s*[\"']?(?P<place2>(?P<owner2>[a-z0-9][\w-]*)/[\w./-]+)",
    "gs://|s3://|abfs|wasb|hf://|image:",
    before=20,
    after=160,
    flags=re.M,
)


def find_links(text: str, role: Role) -> tuple[list[Match], list[str]]:
    """Links that are the authors' own or tell their owner; and links to unknown accounts, to be looked over."""
    found: list[Match] = []
    unknown: list[str] = []
    for match in _OWNED.finditer(text):
        _owned(text, match, role, (found, unknown))
    for match in _PAGES.finditer(text):
        group = "owner" if match["owner"] else "tilde"
        if match[group].lower() in KNOWN or not somebody(match[group]):
            continue
        if (certainty := _own(text, match.start(), role)) is not None:
            found.append(Match("hub link", *match.span(group), certainty))
        else:
            unknown.append(match[0])
    unknown += [m[0].partition("(")[2].strip("\"'") for m in _LOADED.finditer(text) if m["owner"].lower() not in KNOWN]
    for match in _STORED.finditer(text):
        if (match["owner"] or match["owner2"]).lower() not in KNOWN:
            unknown.append(match["place"] or match["place2"])
    for match in _WANDB.finditer(text):
        if match["owner"].lower() not in KNOWN | {"site", "authorize", "home", "quickstart"} and somebody(
            match["owner"]
        ):
            found.append(Match("hub link", *match.span("owner"), LIKELY))
    found += [Match("shared document", *match.span(), LIKELY, "removed") for match in _SHARED.finditer(text)]
    found += [Match("profile", *match.span(), LIKELY, "removed") for match in _PROFILE.finditer(text)]
    for match in _CALLS.finditer(text):
        group = next(name for name in "abcde" if match[name])
        if somebody(match[group]) and match[group].lower() not in _VARIABLES:
            found.append(Match("account", *match.span(group), LIKELY))
    return found, unknown


def _owned(text: str, match: re.Match[str], role: Role, into: tuple[list[Match], list[str]]) -> None:
    owner = match["owner"]
    numbered = match["hub"].startswith(("zenodo", "osf"))
    if (
        not (numbered or somebody(owner))
        or (owner.lower() in KNOWN and role is not Role.OWN_LINK)
        or owner.lower().startswith("anonymous")
    ):
        return
    if (
        not match["rest"]
        and match["hub"].startswith(("huggingface", "hf.co", "zenodo", "osf"))
        and not _ours(text, match.start())
    ):
        return  # a model of the first days, such as gpt2
    if (certainty := _own(text, match.start(), role)) is not None:
        into[0].append(Match("hub link", *match.span("owner"), certainty))
    else:
        into[1].append(match[0].rstrip("."))


def _own(text: str, at: int, role: Role) -> Certainty | None:
    """How certain it is that the link at a place is the authors' own; None for others' work."""
    if role is Role.OWN_LINK:
        return CERTAIN
    if role in (Role.BIBLIOGRAPHY, Role.BINARY):
        return None
    before = text[max(0, at - 240) : at]
    if _CLONE.search(before):
        return POSSIBLE
    return LIKELY if _ours(text, at) else None


def _ours(text: str, at: int) -> bool:
    before = re.sub(r"https?://(?:www\.)?$|\\(?:url|href)\{.*$", "", text[max(0, at - 240) : at])
    if _OURS_AFTER.match(text, at):
        return True
    return _OURS.search(before) is not None and _THEIRS.search(before) is None
