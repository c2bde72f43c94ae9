"""Traces of somebody's machine: home folders, prompts of a shell, names of hosts and clusters, accounts of a batch system."""

from __future__ import annotations

import re
from collections.abc import Iterator

from assay.studies.anonymity.lists import listed
from assay.studies.anonymity.match import CERTAIN, LIKELY, POSSIBLE, Match
from assay.studies.anonymity.nearby import near
from assay.studies.anonymity.piece import Role

NOBODY = listed("nobody")
"""User names that belong to a machine, a service or an example."""

_SLASH = r"(?:\\{1,4}|/)"
_HOMES = near(
    r"(?P<root>/(?:mnt/|net/|nfs/|export/|var/)?homes?\d?/(?:users?/|staff/|students?/|grad/)?|/Users/|/u/|"
    r"/(?:scratch|gscratch|lustre|gpfs|fsx|nfs|raid|ssd|datasets?|netscratch|checkpoint)/(?:home\d?/|users?/"
    r"|projects?/)?|"
    r"/afs/[\w.-]+/(?:users?|home)/(?:\w/)?(?:\w/)?|/cluster/(?:home|scratch|work)/|/(?:mnt|data|work|storage"
    r"|projects?|opt|srv|nas|local|shared?|vol\d?|beegfs|gpfs\d?|lustre\d?|ceph\w*|fs\d?)/(?:[\w-]{1,24}/)?(?:homes?|users?)/"
    rf"|(?i:\b[A-Z]:{_SLASH}(?:Users|Documents and Settings){_SLASH})|(?i:/(?:mnt/)?[a-z]/Users/))"
    r"(?P<user>[A-Za-z0-9][\w.@-]*)",
    "home|users/|users\\|/u/|scratch/|lustre/|gpfs/|fsx/|nfs/|raid/|ssd/|dataset|checkpoint/|/afs/|user/"
    "|documents and settings",
    before=60,
    after=200,
)
_SOFT = re.compile(r"^/(?:u|scratch|gscratch|lustre|gpfs|fsx|nfs|raid|ssd|datasets?|netscratch|checkpoint)/$")
_SLUG = near(r"(?<![\w-])-(?:home|Users)-(?P<user>[a-z][a-z0-9_.]{1,30})-[\w-]+", "-home-|-users-", before=1, after=160)
_PROMPT = near(
    r"(?:^|[\s(\[])(?P<who>(?P<user>[a-z_][a-z0-9_.-]{1,30})@(?P<host>[A-Za-z][\w-]*(?:\.[\w-]+)*))(?=\s?[:~ "
    r"]\s?[~/\[$][^\n]{0,80}[$#%\]])",
    "@",
    before=34,
    after=200,
    flags=re.M,
)
_KEYED = near(
    r"(?:ssh|scp|sftp|rsync)\s(?:-\S+\s(?:\d+\s)?)*(?:\S+\s)?(?P<who>[a-z_][\w.-]{1,30}@[A-Za-z][\w.-]+)(?=[\s:'\"]|$)",
    "ssh|scp|sftp|rsync",
    before=1,
    after=160,
)
_SSH_KEY = near(
    r"(?:ssh-(?:rsa|ed25519|dss)|ecdsa-\S+) [A-Za-z0-9+/=]{20,} (?P<who>[\w.-]+@[\w.-]+)",
    "ssh-|ecdsa-",
    before=1,
    after=1200,
)
_HOST = near(
    r"(?<![\w@.-])(?P<who>(?:[A-Za-z][\w-]*\.)+(?:local|lan|internal|intranet|corp|cluster|hpc))(?![\w.(-]|\.\w)"
    r"|(?<![\w@./-])(?P<node>(?:login|node|gpu|compute|gpunode|worker|dgx|mgr|submit|desktop|laptop|workstation"
    r"|ws)[-\w]*\d*\.(?:[\w-]+\.)*[\w-]+\.(?:edu|ac\.\w\w|org|com|de|fr|ch|ca|eu|cz|pl|it|es|nl|se|no|dk"
    r"|fi|at|be|il|jp|cn|kr|in|au|nz|sg|br|pt|gr|ie|hu|uk))\b"
    r"|(?<![\w@-])(?P<apple>[A-Z][a-z]+(?:s|-s)?-(?:MacBook|Mac|iMac|MBP|Air|PC|Laptop|Desktop)(?:-(?:Pro|Air"
    r"|mini))?(?:-\d+)?(?:\.local)?)(?![\w-])"
    r"|(?<![\w-])(?P<windows>(?:DESKTOP|LAPTOP|WIN)-[A-Z0-9]{6,8})(?![\w-])",
    ".local|.lan|.internal|.intranet|.corp|.cluster|.hpc|login|node|gpu|compute|worker|dgx|mgr|submit|desktop|laptop"
    "|workstation|ws|mac|-mbp|-air"
    "|-pc|-laptop|-desktop|desktop-|laptop-|win-",
    before=90,
    after=80,
)
_SLURM = near(
    r"^\s*#SBATCH\s+(?:-A\s*|--account[= ]\s*|--mail-user[= ]\s*|--partition[= ]\s*(?=\w*lab)|--qos[= "
    r"]\s*(?=\w*lab))(?P<who>\S+)",
    "#sbatch",
    before=60,
    after=140,
    flags=re.M,
)
_SET = re.compile(
    r"^[ \t]*(?:export\s+)?(?:HOSTNAME|LOGNAME|USER|USERNAME|SUDO_USER|HOST|WANDB_ENTITY|HF_USER(?:NAME)?"
    r"|GIT_AUTHOR_NAME|SLURM_JOB_ACCOUNT)\s*=\s*[\"']?(?P<who>[\w.@-]+)",
    re.M,
)


def find_machine(text: str, role: Role) -> Iterator[Match]:
    """Home paths, user@host, host names, batch accounts in a folded text."""
    for match in _HOMES.finditer(text):
        before = text[match.start() - 1 : match.start()]
        if not somebody(match["user"]) or (role is not Role.BINARY and re.match(r"[\w.~-]", before)):
            continue
        soft = _SOFT.match(match["root"]) is not None
        if soft and (role is Role.BINARY or not re.match(r"[\\/]", text[match.end() :])):
            continue
        yield Match("home path", *match.span("user"), POSSIBLE if soft else CERTAIN)
    for match in _SLUG.finditer(text):
        if somebody(match["user"]):
            yield Match("home path", *match.span("user"), LIKELY)
    if role is Role.BINARY:
        return
    for pattern, certainty in (
        (_PROMPT, CERTAIN),
        (_KEYED, CERTAIN),
        (_SSH_KEY, CERTAIN),
        (_SLURM, LIKELY),
        (_SET, LIKELY),
    ):
        for match in pattern.finditer(text):
            if somebody(match["who"].partition("@")[0]) and not match["who"].startswith("git@"):
                yield Match("host name" if "@" in match["who"] else "account", *match.span("who"), certainty)
    for match in _HOST.finditer(text):
        group = str(match.lastgroup)
        if _is_host(match[group], role):
            yield Match("host name", *match.span(group), LIKELY, "localhost")


def somebody(user: str) -> bool:
    """Whether a user's name is a person's, not a machine's or an example's."""
    low = user.lower().rstrip(".")
    return len(low) > 1 and low not in NOBODY and not low.isdigit() and not re.fullmatch(r"x+|user\d*|anon\w*", low)


def _is_host(name: str, role: Role) -> bool:
    """`threading.local` in code is no host, `gpu3.local` is."""
    if not re.search(r"\.(?:local|lan|internal|intranet|corp|cluster|hpc)$", name):
        return True
    first = name.split(".")[0]
    return "-" in first or any(c.isdigit() for c in first) or role in (Role.PERSON, Role.OWN_LINK)
