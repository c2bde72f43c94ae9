"""What identifies by its form alone, each beside something that looks alike and does not."""

from __future__ import annotations

import pytest

from assay.studies.anonymity.addresses import orcid_is_valid
from assay.studies.anonymity.fields import json_field
from assay.studies.anonymity.match import CERTAIN, LIKELY, POSSIBLE, Match, strongest
from assay.studies.anonymity.names import Names
from assay.studies.anonymity.piece import Piece, Role
from assay.studies.anonymity.search import search


def kinds(text: str, role: Role = Role.PROSE) -> set[str]:
    return {each.kind for each in search(Piece(text, role), Names())[0]}


TOLD = [
    ("e-mail", "anna.bauer@uni-stadt.de"), ("e-mail", "{anna, bert}@uni-stadt.de"), ("e-mail", r"\{anna,bert\}@cs.uni.edu"),
    ("e-mail", "anna[at]uni-stadt.de"), ("e-mail", "anna (at) uni-stadt.de"), ("e-mail", "anna at cs dot uni dot edu"),
    ("ORCID", "0000-0001-5109-3700"), ("phone", "Tel.: +49 89 1234567"), ("home path", "/home/abauer/x"), ("home path", "file:///Users/abauer/x"),
    ("home path", r"C:\\Users\\abauer\\x"), ("home path", r"c:\Users\Anna"), ("home path", "/mnt/c/Users/abauer"),
    ("home path", "/cluster/home/abauer/x"), ("home path", "/afs/cs/user/a/b/abauer/x"), ("home path",
    "%2Fhome%2Fabauer%2Fx"),
    ("home path", "-home-abauer-heads"), ("home path", "/gscratch/abauer/x"), ("host name", "abauer@login1:~$ ls"),
    ("host name", "scp a.txt abauer@login1:x"), ("host name", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA abauer@box"),
    ("host name", "on gpu-4.local now"), ("host name", "Annas-MacBook-Air"), ("host name", "DESKTOP-4F5G6H7"),
    ("account", "#SBATCH -A nlp_lab"), ("account", "export WANDB_ENTITY=abauer"), ("account", "hub_model_id: abauer/x"),
    ("account", "python x.py --entity abauer"), ("account", 'api.create_repo("abauer/x")'),
    ("hub link", "Our models: https://huggingface.co/abauer/x"), ("hub link", "Code: https://github.com/abauer/x"),
    ("hub link", "git clone https://github.com/abauer/x"), ("hub link", "our page https://abauer.github.io/x"),
    ("shared document", "https://docs.google.com/document/d/1aBcDeFgH/edit"), ("shared document",
    "https://www.dropbox.com/s/abcdef/x"),
    ("profile", "https://scholar.google.com/citations?user=AbCdEf"), ("profile",
    "https://openreview.net/profile?id=~Anna_B1"),
    ("profile", "https://twitter.com/annab"), ("acknowledgement", "Acknowledgments\nAnna Bauer helped us with the cluster."),
    ("acknowledgement", "We are grateful to Anna Bauer."), ("acknowledgement", "This work was supported by the City."),
    ("acknowledgement", "Work done during an internship at the City."), ("grant", "grant number 952215"), ("grant",
    "EP/S022481/1"),
    ("grant", "award W911NF-20-1-0001"), ("own work", "Our previous work [12] shows it."), ("own work",
    "we previously showed [3] that"),
    ("own work", r"As we show in \cite{b20}, it is so."), ("own work", "in our earlier paper (Bauer, 2020)"),
    ("own work", "extends our BAU method [4]"),
    ("affiliation", "recorded at our university"), ("author field", "Author: Anna Bauer"), ("author field",
    "# Created by: Anna Bauer"),
    ("author field", "maintainer = 'Anna Bauer'"), ("copyright", "(c) 2024 Anna Bauer"), ("key", "ghp_" + "aB3" * 12),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text"), TOLD)
def test_told(kind: str, text: str) -> None:
    assert kind in kinds(text), kinds(text)


NOT_TOLD = [
    "We use the tuned lens (https://github.com/other/lens)", "our experiments with https://github.com/other/lens",
    "@mark: x", "hotel 123 4567 890",
    "user@example.com", "noreply@github.com", "git@github.com:huggingface/transformers.git", "a@b", "x @ y",
    "@property", "anonymous@x.edu",
    "1234-5678-9012-3456", "0000-0000-0000-0000", "/home/user/x", "/home/runner/work", "/Users/Shared",
    "C:\\Users\\Public", "/home/$USER/x",
    "/home/<name>/x", "~/x", "/root/x", "threading.local()", "self.local", "node.js", "time-of-day", "localhost:8080",
    "#SBATCH --time=1:00",
    "https://github.com/huggingface/transformers", "we use https://huggingface.co/gpt2",
    "https://github.com/anonymous/x", "https://anonymous.4open.science/r/x-1",
    "Their code is available at https://github.com/other/x", "https://wandb.ai/site", "https://x.com/home",
    "Acknowledgements\nOmitted for review.",
    "Acknowledgements: removed for double-blind review", "We thank the anonymous reviewers.",
    "we acknowledge that the method is limited",
    "We supported this by a test", "grant access", "project 12", "award points to 3 heads", "previous work [3] shows",
    "our previous section",
    "our results [3] agree", "we show that", "Author: Anonymous", "author = get_author()", "authors: list[str]",
    "Contact: see the README",
    "Copyright (c) 2024 The Authors", "copyright notice and this permission notice", "sk-learn",
    "risk-free-and-very-long-word-without-any-digits",
    "the university of life", "entity = None", "--entity $ENTITY", "funding\nwas low", "result = a@b.T",
    "0.83 [0.79, 0.87], n = 400",
]  # fmt: skip


@pytest.mark.parametrize("text", NOT_TOLD)
def test_not_told(text: str) -> None:
    assert kinds(text) == set() and kinds(text, Role.CODE) == set()


def test_orcid_check_digit() -> None:
    assert orcid_is_valid("0000-0002-1694-233X") and not orcid_is_valid("0000-0002-1694-2331")


def test_json_keys() -> None:
    assert json_field("author", "Anna Bauer") == "author field" and json_field("hostname", "gpu3") == "host name"
    assert json_field("username", "abauer") == "account"
    for key, value in (
        ("user", "What is this?"),
        ("user", "user"),
        ("author", "anonymous"),
        ("host", "localhost"),
        ("name", "Anna Bauer"),
        ("author", "x"),
    ):
        assert json_field(key, value) is None, (key, value)


def test_the_strongest_of_overlapping_matches() -> None:
    long, inside, weak, apart = (
        Match("a", 0, 10, LIKELY),
        Match("b", 2, 5, LIKELY),
        Match("c", 0, 10, POSSIBLE),
        Match("d", 8, 14, POSSIBLE),
    )
    sure = Match("e", 2, 5, CERTAIN)
    assert strongest([inside, weak, apart, long]) == [long, apart]
    assert strongest([long, sure, inside]) == [long, sure]
    assert strongest([long, Match("z", 0, 10, LIKELY)]) == [long]


def test_places() -> None:
    piece = Piece("a\nb\n\nc", Role.PROSE, "cell 3", lines=True)
    assert [piece.where(i) for i in (0, 1, 2, 5)] == [
        "cell 3, line 1",
        "cell 3, line 1",
        "cell 3, line 2",
        "cell 3, line 4",
    ]
