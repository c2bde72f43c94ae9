"""A third set of leaks, of kinds that were in neither set before: trailers, lists of people, owners, handles, manifests.

At first sight 30 of 65 were found, and three more were listed as links. What is mended is below; in those of `SILENT` nothing
says that a name is a name (a comment that begins with a first name, a kernel's name, a title, cells of a table).
"""

from __future__ import annotations

import json

import pytest
from tests.studies.anonymity import pictures as pics
from tests.studies.anonymity.leaks import code, notebook, pdf, zipped

from assay.studies.anonymity.check import check_files
from assay.studies.anonymity.names import parse_names

PEOPLE = parse_names(
    ["María José Carreño Quiñones", "Rahul Iyer", "rahul.iyer@ai.bigcorp.com", "@riyer-ml", "BigCorp Research"]
)
KNOWN = parse_names(["Petra Novakova", "@pnovak", "@pnovak77"])


def tex(body: str, author: str = "Anonymous") -> str:
    return f"\\documentclass{{article}}\\author{{{author}}}\\begin{{document}}{body}\\end{{document}}"


FOUND: dict[str, str | bytes] = {
    "t01.txt": "Fix the mask\n\nCo-authored-by: Petra Novakova <petra@lab.brno-uni.cz>\n",
    "t02.txt": "Fix\n\nSigned-off-by: Petra Novakova\nReviewed-by: Jan Dvorak\n",
    ".mailmap": "Petra Novakova <pnovak@users.noreply.github.com> pn <pn@laptop>\n",
    ".github/CODEOWNERS": "* @pnovak77 @heads-lab/core\n",
    "t05/AUTHORS": "Petra Novakova\nJan Dvorak\n",
    "t06/CONTRIBUTORS.md": "# Contributors\n\n- Petra Novakova (design)\n- Jan Dvorak\n",
    "t08.tex": tex("x", author="Anonymous\\thanks{Supported by the Czech Science Foundation, 23-1234S}"),
    "t09.tex": tex("As in our previous work \\citep{novakova2023heads}, we patch."),
    "t10.md": "We extend our own method (doi:10.48550/arXiv.2301.01234).",
    "t11.md": "In our previous work [12] we showed that heads move names.",
    "t12.tex": '%%% Local Variables:\n%%% TeX-master: "/home/pnovak/paper/main"\n%%% End:\n',
    "t14.ipynb": notebook(
        [code("!nvidia-smi", {"output_type": "stream", "name": "stdout", "text": ["pnovak@dgx-a100:~$\n"]})]
    ),
    "t15.ipynb": notebook(
        [
            code(
                "x",
                {
                    "output_type": "execute_result",
                    "data": {"text/plain": ["PosixPath('/mnt/beegfs/home/pnovak/heads/out.pt')"]},
                    "metadata": {},
                    "execution_count": 1,
                },
            )
        ]
    ),
    "t16.yml": "name: heads\nchannels: [conda-forge]\nprefix: /opt/home/pnovak/.conda/envs/heads\n",
    "t17/wandb-metadata.json": json.dumps(
        {
            "host": "lab-ws-12",
            "username": "pnovak",
            "program": "/u/pnovak/heads/train.py",
            "email": "p@x.cz",
            "git": {"remote": "git@github.com:pnovak77/heads.git"},
        }
    ),
    "t18.yaml": "defaults:\n  wandb_entity: pnovak77\n",
    "t19.sh": "#SBATCH -A plgheads-gpu-a100\n#SBATCH --mail-user=pnovak\n",
    "t20.sh": "#PBS -P uni-heads\n#PBS -M pn@x.cz\n",
    "t21/Dockerfile": 'FROM pytorch/pytorch\nLABEL maintainer="Petra Novakova"\n',
    "t23.sh": "docker push registry.brno-uni.cz/pnovak/heads\n",
    "t24.sshcfg": "Host lab\n  HostName gpu3.ics.brno-uni.cz\n  User pnovak\n",
    "t25.py": 'api.upload_folder(repo_id="pnovak77/heads-sae", folder_path="out")',
    "t26.py": 'MODEL = "https://huggingface.co/spaces/pnovak77/heads"  # our demo',
    "t27/codemeta.json": json.dumps(
        {"@type": "SoftwareSourceCode", "author": [{"@type": "Person", "givenName": "Petra", "familyName": "Novakova"}]}
    ),
    "t28/pyproject.toml": '[project]\nname="heads"\nmaintainers=[{name="Petra Novakova"}]\n',
    "t29/setup.py": 'setup(name="heads", author="Petra Novakova", author_email="pn")',
    "t30/.zenodo.json": json.dumps(
        {"creators": [{"name": "Novakova, Petra", "orcid": "0000-0001-2345-6789", "affiliation": "Example Uni"}]}
    ),
    "t31.svg": '<svg xmlns:inkscape="x"><g inkscape:export-filename="/home/pnovak/fig/heads.png"/></svg>',
    "t32.svg": "<svg><dc:creator><cc:Agent><dc:title>Petra Novakova</dc:title></cc:Agent></dc:creator></svg>",
    "t33.jpg": pics.jpeg(pics.exif({0x013B: "Petra Novakova"})),
    "t34.png": pics.png(pics.text("Author", "Petra Novakova")),
    "t35.docx": zipped(
        docProps__core_DOT_xml="<cp:coreProperties><dc:creator>Petra Novakova</dc:creator></cp:coreProperties>",
        word__document_DOT_xml="<w:document/>",
    ),
    "t36.pptx": zipped(
        docProps__core_DOT_xml="<cp:coreProperties><cp:lastModifiedBy>pnovak</cp:lastModifiedBy></cp:coreProperties>"
    ),
    "t38.md": "Slack: https://heads-lab.slack.com/archives/C01\n",
    "t39.md": "Models at https://zenodo.org/records/1234567 (ours)\n",
    "t40.md": "Code: https://osf.io/ab3de/ \n",
    "t41.txt": "drwxr-xr-x 2 pnovak heads 4096 Jan 3 10:11 runs\n",
    "t42.json": json.dumps({"hostname": "wn-18.grid.brno-uni.cz", "cwd": "/work/pnovak/heads"}),
    "t44.md": "Project page: https://petranovakova.github.io/heads\n",
    "t45.bib": "@misc{us, author={Novakova, Petra}, note={Our earlier version}, title={Heads}}",
    "t46.md": "Contact the first author on Twitter/X: @petra_nov\n",
    "t47.env": "WANDB_API_KEY=abc\nUSER=pnovak\nLOGNAME=pnovak\nHF_USERNAME=pnovak77\n",
    "t48.toml": '[tool.poetry]\nauthors=["Petra Novakova <p@x.cz>"]\n',
    "t49.R": "#' @author Petra Novakova\nf <- function(x) x\n",
    "t50.py": "# TODO(pnovak): seeds\n",
    "t51.py": "# Created by Petra Novakova on 3/1/25.\n",
    "t53.tex": tex("\\section*{Author contributions} P.N. designed the study, J.D. ran it."),
    "t54.tex": tex("This work was approved by the ethics board of Example University (no. 2024-17)."),
    "t55.md": "Trained on the LUMI supercomputer under EuroHPC project 465000123.",
    "t56.md": "An early version appeared as Novakova and Dvorak (2023), where we proposed it.",
    "t57.vscode": '{"remote.SSH.remotePlatform": {"gpu.brno-uni.cz": "linux"}}',
    "t59.log": "INFO [pnovak] job 123 submitted by pnovak on wn18\n",
    "t60.xml": "<project><developers><developer><name>Petra Novakova</name></developer></developers></project>",
    "t62.txt": "Last login: Tue from petras-mbp.lan\npnovak@login1 ~ %\n",
    "t63.ipynb": notebook(
        [code("1")], colab={"provenance": [], "authorship_tag": "ABX9TyM"}, authors=[{"name": "Petra Novakova"}]
    ),
}

LISTED: dict[str, str] = {
    "t22.yaml": "image: pnovak77/heads:0.3\n",
    "t43.txt": "gs://pnovak-heads-bucket/ckpt/1.pt and s3://petra-heads/x\n",
    "t58.html": "<!-- saved from url=(0040)https://intranet.brno-uni.cz/~pnovak/ -->",
}

SILENT: dict[str, str | bytes] = {
    "t07.tex": tex("\n% Petra: is this figure final?\nx"),
    "t13.ipynb": notebook([code("1")], kernelspec={"display_name": "pnovak-heads", "name": "pnovak-heads"}),
    "t37.pdf": pdf(info={"Title": "draft-pnovak-v3", "Producer": "x"}).bytes(),
    "t52.csv": "annotator,label\npetra.novakova,1\n",
    "t64.tsv": "reviewed by\tPetra Novakova\n",
}

CLEAN: dict[str, str] = {
    "c1.txt": "Fix\n\nReviewed-by: the team\nCloses: 12\n",
    "c2.py": "# TODO(later): seeds\n# NOTE(v2): changed\n# FIXME(gpu): slow\nx = 1\n",
    "c3.log": "job submitted by default settings, started by systemd\n",
    "c4.yaml": "image: python:3.11\nother:\n  image: pytorch/pytorch:2.6.0\n",
    "c5.txt": "drwxr-xr-x 2 root root 4096 Jan 3 10:11 runs\n-rw-r--r-- 1 user users 4 Jan 3 10:11 a\n",
    "c6.cfg": "Host *\n  User user\n",
    "c7.bib": "@misc{a, author={Wang, Kevin}, note={Accessed 2024-05-01}}",
    "c8.md": "It was shown by Smith and Young (2021), where the heads were named. See Wang and Nanda (2023).",
    "c9.tex": tex("The study was approved by the ethics board of our institution (name withheld for review)."),
    "c10.py": 'setup(name="heads", author="Anonymous")\n',
    "c11.java": "/** @author Anonymous Authors */\n",
    "c12/AUTHORS": "# Anonymous for review\nAnonymous Authors\n",
    "c13/CODEOWNERS": "* anonymous\n",
    "c14/Dockerfile": 'FROM python:3.11\nLABEL version="1"\n',
    "c15.py": 'import getpass\nuser = getpass.getuser()\npath = f"/data/{user}/home"\n',
    "c16.md": "Created by Adobe Illustrator. The prompts were written by hand.",
    "c17.json": json.dumps({"author": [{"givenName": "Anonymous", "familyName": "Authors"}]}),
    "c18.md": "follow @user on GitHub; `docker push registry/name`; see the note = 3 below",
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
    assert report.clean and any("novak" in link or "petra" in link for link in report.links)


@pytest.mark.parametrize("name", SILENT)
def test_found_where_the_name_was_given(name: str) -> None:
    """Nothing but the list of names can tell these."""
    assert told(name, SILENT[name], KNOWN) and not told(name, SILENT[name])


@pytest.mark.parametrize("name", CLEAN)
def test_what_only_looks_like_it_is_clean(name: str) -> None:
    assert told(name, CLEAN[name]) == []
