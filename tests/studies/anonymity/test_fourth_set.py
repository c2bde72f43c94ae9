"""A fourth set of leaks, of kinds that were in none before: sound, film, packages of other languages, trackers, office files.

At first sight 23 of 58 were found, one more was listed as a link, and one of 20 clean files raised an alarm. What is mended is
below; in those of `SILENT` nothing says that a name is a name, and a certificate's text is not unpacked.
"""

from __future__ import annotations

import base64
import json
import struct

import pytest
from tests.studies.anonymity import pictures as pics
from tests.studies.anonymity.leaks import notebook, zipped

from assay.studies.anonymity.check import check_files
from assay.studies.anonymity.names import parse_names

KNOWN = parse_names(["Ingrid Solheim", "@isolb", "@isolheim"])
PEOPLE = parse_names(
    ["Ramón Ibáñez Ortuño", "Rahul Iyer", "rahul.iyer@ai.bigcorp.com", "@riyer-ml", "BigCorp Research"]
)


def tex(body: str, head: str = "") -> str:
    return (
        f"\\documentclass{{article}}\n\\author{{Anonymous}}\n{head}\n\\begin{{document}}\n{body}\n\\end{{document}}\n"
    )


def wav(artist: str) -> bytes:
    info = b"INFO" + b"IART" + struct.pack("<I", len(artist)) + artist.encode()
    body = (
        b"WAVEfmt "
        + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8)
        + b"LIST"
        + struct.pack("<I", len(info))
        + info
        + b"data"
        + struct.pack("<I", 400)
        + bytes(400)
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def mp3(artist: str) -> bytes:
    frame = b"TPE1" + struct.pack(">I", len(artist) + 1) + b"\0\0\3" + artist.encode()
    return b"ID3\3\0\0" + struct.pack(">I", len(frame)) + frame + bytes(600)


def atom(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", 8 + len(data)) + kind + data


def mp4(artist: str) -> bytes:
    data = atom(b"data", struct.pack(">II", 1, 0) + artist.encode())
    return (
        atom(b"ftyp", b"isomiso2")
        + atom(b"moov", atom(b"udta", atom(b"meta", bytes(4) + atom(b"ilst", atom(b"\xa9ART", data)))))
        + atom(b"mdat", bytes(500))
    )


S = "Ingrid Solheim"
FOUND: dict[str, str | bytes] = {
    "a01.org": f"#+TITLE: Heads\n#+AUTHOR: {S}\n* One\n",
    "a02/DESCRIPTION": 'Package: heads\nAuthors@R: person("Ingrid", "Solheim", role = c("aut", "cre"))\n',
    "a03/Cargo.toml": f'[package]\nname = "heads"\nauthors = ["{S} <is@uni-bergen.no>"]\n',
    "a03b/Project.toml": f'name = "Heads"\nauthors = ["{S}"]\n',
    "a04.eps": f"%!PS-Adobe-3.0 EPSF-3.0\n%%Creator: MATLAB\n%%For: {S}\n%%BoundingBox: 0 0 9 9\nshowpage\n",
    "a04b.eps": "%!PS-Adobe-3.0 EPSF-3.0\n%%Creator: gnuplot 5.4\n%%For: isolheim\n%%BoundingBox: 0 0 9 9\nshowpage\n",
    "a05/.hg/hgrc": f"[ui]\nusername = {S}\n",
    "a06/Dockerfile": "FROM python:3.11\nRUN useradd -m isolheim\nUSER isolheim\n",
    "a07b/requirements.txt": "torch\nheads @ file:///Users/isolheim/heads\n",
    "a08.html": f'<html><head><meta name="author" content="{S}"></head><body>x</body></html>',
    "a09/events.out.tfevents.1699999999.gpu-node7.uib.no.12345.0": bytes(range(200)),
    "a09b/events.out.tfevents.1699999999.isolheim-ws.12345.0": bytes(range(200)),
    "a10/mlruns/0/meta.yaml": "artifact_uri: ./x\nlifecycle_stage: active\nuser_id: isolheim\n",
    "a11.py": 'exp = comet_ml.Experiment(project_name="heads", workspace="isolb")\n',
    "a11b.py": 'run = neptune.init_run(project="isolb/heads")\n',
    "a12.tex": tex("x", f"\\pdfinfo{{/Title (Heads) /Author ({S})}}"),
    "a13.tex": tex("x", f"\\definechangesauthor[name={{{S}}}]{{IS}}"),
    "a13b.tex": tex("x \\todo[author=Ingrid]{check}"),
    "a14.xlsx": zipped(
        xl__persons__person_DOT_xml=f'<personList><person displayName="{S}" id="x" userId="is@uib.no::1"/></personList>'
    ),
    "a15.odt": zipped(meta_DOT_xml=f"<office:meta><meta:initial-creator>{S}</meta:initial-creator></office:meta>"),
    "a16.rtf": f"{{\\rtf1\\ansi{{\\info{{\\author {S}}}{{\\operator isolheim}}}}x}}",
    "a17.json": json.dumps({"role": "arn:aws:iam::123456789012:user/isolheim"}),
    "a17b.json": json.dumps(
        {
            "type": "service_account",
            "project_id": "solheim-lab",
            "client_email": "heads@solheim-lab.iam.gserviceaccount.com",
        }
    ),
    "a18/heads.egg-info/PKG-INFO": f"Metadata-Version: 2.1\nName: heads\nAuthor: {S}\n",
    "a19/_config.yml": f"title: Heads\nauthor:\n  name: {S}\n  bio: PhD student\n",
    "a20.txt": "Copyright © 2024, Solheim Lab. All rights reserved.\n",
    "a21.ipynb": notebook(
        [
            {
                "cell_type": "markdown",
                "source": "![x](attachment:i.png)",
                "metadata": {},
                "attachments": {"i.png": {"image/png": base64.b64encode(pics.png(pics.text("Author", S))).decode()}},
            }
        ]
    ),
    "a22.wav": wav(S),
    "a22b.wav": wav("Rahul Iyer"),
    "a23.mp3": mp3(S),
    "a23b.mp3": mp3("Rahul Iyer"),
    "a24.mp4": mp4(S),
    "a24b.mp4": mp4("Rahul Iyer"),
    "a25/.DS_Store": b"\0\0\0\1Bud1" + bytes(40) + "rahul iyer heads".encode("utf-16-be") + bytes(40),
    "a26.bib": "@phdthesis{s22, author={Iyer, Rahul}, title={Heads}, school={BigCorp Research}}",
    "a27.md": "This is the code of our preprint (arXiv:2501.01234).\n",
    "a28.md": f"## Team\n\n- {S} (lead)\n- Jan Berg\n",
    "a29.tex": tex("\\section*{Author Contributions} I.S. had the idea; J.B. wrote the code."),
    "a30.tex": tex("\\begin{IEEEbiography}{Ingrid Solheim} is a student.\\end{IEEEbiography}"),
    "a31.py": f"# -*- coding: utf-8 -*-\n# @Author  : {S}\n# @Time    : 2024/3/1\n# @Email   : is@x\n",
    "a32.m": f"% HEADS  find heads\n%   Written by {S}, University of Bergen, 2024\n",
    "a33.yaml": f"model_card:\n  developed_by: {S}\n  contact: ingrid\n",
    "a33b.md": f"---\nlicense: mit\n---\n- **Developed by:** {S}\n- **Shared by [optional]:** isolb\n",
    "a35.txt": "Meeting link: https://uib.zoom.us/j/123456789\n",
    "a35b.md": "Calendar: https://calendly.com/ingrid-solheim\nMastodon: https://mastodon.social/@isolheim\n",
    "a36.tex": tex("Details are in the first author's master's thesis \\citep{solheim2022}."),
    "a37.sql": "INSERT INTO users (id, full_name, email) VALUES (1, 'Ingrid Solheim', 'is@uib.no');\n",
    "a39.log": "[2024-03-01] User: isolheim  Host: cn42.saga.sigma2.no  PID 3\n",
    "a40.json": json.dumps({"created_by": S, "x": 1}),
    "a40b.json": json.dumps({"annotators": [S, "Jan Berg"]}),
    "a43.diff": f"From 1a2b Mon Sep 17 00:00:00 2001\nFrom: {S} <is@uib.no>\nDate: Mon\nSubject: [PATCH] x\n",
    "a44.vtt": f"WEBVTT\n\n00:01.000 --> 00:03.000\n<v {S}>Hello, I am Ingrid.\n",
}
CLEAN: dict[str, str | bytes] = {
    "k01.eps": "%!PS-Adobe-3.0 EPSF-3.0\n%%Creator: MATLAB, The MathWorks, Inc. Version 9.14\n%%For: \n"
    "%%Title: heads\nshowpage\n",
    "k02/Cargo.toml": '[package]\nname = "heads"\nauthors = []\nversion = "0.1.0"\n',
    "k02b/Cargo.toml": '[package]\nname = "heads"\nauthors = ["Anonymous"]\n',
    "k03.html": '<html><head><meta name="author" content="Anonymous"><meta name="generator" content="pandoc"></head></html>',
    "k04/events.out.tfevents.1699999999.localhost.12345.0": bytes(range(200)),
    "k05.tex": tex(
        "Each receiver sends an acknowledgement (ACK). The reviewers of a paper may "
        "thank the authors. Grant and Will are names in our prompts: ``Grant thanked Will for the award''. "
        "We previously showed in Section 2 that heads move."
    ),
    "k06.json": json.dumps(
        [{"author": "assistant", "content": "Hi"}, {"author": "user", "content": "My name is Anna Bauer."}]
    ),
    "k07.csv": "first_name,last_name,pronoun\nMary,Smith,she\nJohn,Taylor,he\nAnna,Bauer,she\nTom,Young,he\n",
    "k08.py": 'import argparse\n\np = argparse.ArgumentParser()\np.add_argument("--user", default="anonymous")\n'
    'p.add_argument("--host", default="127.0.0.1")\np.add_argument("--entity", default=None)\n'
    'author: str = "x"\nworkspace = Path("workspace")\nproject = "heads"\n',
    "k09.md": "Usage: `ssh user@host`, then `scp model.pt user@host:/home/user/x`. Contact: see the paper. "
    "Models by EleutherAI and Google. Thanks to PyTorch we can hook. Written by hand. "
    "Developed by the authors of this submission.\n",
    "k10.txt": "INFO worker node-3 started; user: default; Host: localhost; written by optimizer.py; created_by: script\n",
    "k11.yaml": "user_id: null\nauthor: Anonymous\nteam: anonymous\nworkspace: default\nproject: heads\nannotators: 3\n",
    "k12.bib": "@phdthesis{a, author={Olah, Chris}, school={University of Somewhere}, year={2020}}\n"
    "@article{b, author={Smith, Anna and Solheim, Jan}, title={Heads, by hand}, journal={J}, year={2020}}\n",
    "k13.tex": tex("\\todo[inline]{check}\\todo[author=R1]{x} \\definechangesauthor[name={Reviewer 1}]{R1}"),
    "k14.rtf": "{\\rtf1\\ansi{\\info{\\author }{\\operator }}x}",
    "k15.wav": wav("x" * 4)[:40] + bytes(500),
    "k16.vtt": "WEBVTT\n\n00:01.000 --> 00:03.000\n<v Speaker 1>Hello.\n",
    "k17/DESCRIPTION": 'Package: heads\nAuthors@R: person("Anonymous", "Authors", role = "aut")\n',
    "k18.md": "Team sizes: 3 (lead), 4. ## Team\n\n- red team (lead)\n- blue team\n",
    "k19.json": json.dumps(
        {"created_by": "pipeline", "developed_by": "Anonymous", "annotators": ["A1", "A2"], "annotator": "crowd worker"}
    ),
}

SILENT: dict[str, str | bytes] = {
    "a34.sty": f"\\ProvidesPackage{{heads}}[2024/01/01 v1 Heads ({S})]\n",
    "a38.csv": "annotator_name,score\nIngrid Solheim,3\nJan Berg,4\n",
    "a41.tf": 'provider "google" { project = "solheim-lab-123" }\n',
    "a45.srt": "1\n00:00:01,000 --> 00:00:03,000\nHi, I'm Ingrid Solheim from the University of Bergen.\n",
}
LISTED: dict[str, str] = {
    "a07/requirements.txt": "torch\n-e git+ssh://git@github.com/isolb/heads.git@1a2b3c#egg=heads\n",
}


def told(name: str, content: str | bytes, people: object = PEOPLE) -> list[tuple[str, str]]:
    report = check_files({name: content.encode() if isinstance(content, str) else content}, people)  # type: ignore[arg-type]
    return [(each.kind, each.text) for each in report.findings]


@pytest.mark.parametrize("name", FOUND)
def test_found(name: str) -> None:
    assert told(name, FOUND[name])


@pytest.mark.parametrize("name", LISTED)
def test_listed(name: str) -> None:
    report = check_files({name: LISTED[name].encode()}, PEOPLE)
    assert report.clean and any("isolb" in link for link in report.links)


@pytest.mark.parametrize("name", SILENT)
def test_found_where_the_name_was_given(name: str) -> None:
    """Nothing but the list of names can tell these."""
    assert told(name, SILENT[name], KNOWN) and not told(name, SILENT[name])


@pytest.mark.parametrize("name", CLEAN)
def test_what_only_looks_like_it_is_clean(name: str) -> None:
    assert told(name, CLEAN[name]) == []


def test_where_a_film_was_taken_and_who_sings_is_told_in_words() -> None:
    film = atom(b"ftyp", b"qt  ") + atom(b"moov", atom(b"udta", atom(b"\xa9xyz", b"\0\x12\x15\xc7+60.3913+005.3221/")))
    assert ("location", "+60.3913+005.3221") in told("a.mov", film + bytes(99))
    note = b"ARTIST=Ingrid Solheim"
    flac = b"fLaC\x84" + bytes(30) + struct.pack("<I", len(note)) + note + bytes(99)
    assert told("a.flac", flac) == [("author field", "Ingrid Solheim")]
    assert told("a.wav", wav("Anonymous")) == [] and told("b.mp3", mp3("")) == []
