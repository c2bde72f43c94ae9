"""Things that are fine: a paper, its source, a notebook, a repository with links to others' work, words that are also names."""

from __future__ import annotations

import json

from tests.studies.anonymity import pictures as pics
from tests.studies.anonymity.leaks import code, notebook, zipped
from tests.studies.paper.pdf_file import simple

NAMES = [
    "Will Long",
    "Mark Hope",
    "Jane Q. Doe-Fernández",
    "Wei Zhang",
    "Hope Young",
    "Bill Song",
    "@jqdf",
    "MIT",
    "text: Page Institute",
]

PROSE = """\
We will long remember that marks of hope are young. Will this hold for long prompts? Will long contexts help? Mark the
position of the token; hope is not a method. The bill song dataset is small. May June and Grace rose early. In the long run,
I hope that this will. Mark, for instance, that a long prompt will fail. Hope for the best. Long before, Zhang et al. (2023)
found it, and Young and Smith (2021) as well. Mary and John went to the store; John gave a drink to Mary. The MIT license is
permissive. See Section 3.1-3.2, grant access to the model, award points, contract the tensor, project 1 of 3.
We acknowledge that the method has limits. Our previous section shows the metric. Prior work [3, 4]
shows the effect. We follow previous work [5]. Our earlier experiments in Section 2 used 100 prompts.
"""

TEX = r"""
\documentclass{article}
\usepackage{neurips_2025}
\usepackage[final]{graphicx}
\title{Where names are moved}
\author{Anonymous Authors}
\newcommand{\model}{GPT-2 small}
\newcommand{\mark}[1]{\textbf{#1}}
\begin{document}
\maketitle
\begin{abstract} We study how \model{} moves names. \end{abstract}
% a comment on the next figure
\section{Introduction}
""" + PROSE + r"""
Code is in the supplement (\url{https://anonymous.4open.science/r/heads-1234}).
Our experiments use the tuned lens (\url{https://github.com/AlignmentResearch/tuned-lens}), and we share its settings.
We use TransformerLens (\url{https://github.com/TransformerLensOrg/TransformerLens}) and
data of \citet{wang2022} (\url{https://github.com/redwoodresearch/Easy-Transformer}).
\section*{Acknowledgements} Omitted for double-blind review.
\includegraphics[width=\textwidth]{figures/heads.pdf}
\bibliography{refs}
\end{document}
"""  # fmt: skip

BIB = """\
@article{wang2022, author={Wang, Kevin and Variengien, Alexandre and Conmy, Arthur}, title={Interpretability in the wild},
  year={2022}, url={https://arxiv.org/abs/2211.00593}}
@misc{k, author={Nanda, Neel and Bloom, Joseph}, title={TransformerLens}, howpublished={\\url{https://github.com/TransformerLensOrg/TransformerLens}}}
"""

CODE = '''\
"""Patching of heads, after Wang et al. (2022), arXiv:2211.00593. See https://github.com/callummcdougall/ARENA_3.0."""

import os
from pathlib import Path

# Long prompts will need more memory; mark them. TODO: hope for a better way
HOME = Path.home()
CACHE = os.environ.get("HF_HOME", "/home/user/.cache")
DOCKER = "/home/jovyan/work"
names = ["Mary", "John", "Will", "Mark", "Hope", "Jane"]
model = load("EleutherAI/pythia-70m")
sae = SAE.from_pretrained("jbloom/GPT2-Small-SAEs")
mark: int = 3
owner = self.owner
result = a@b.T
author = get_author(path)
user = "user"


@dataclass
class Run:
    """host: the server's; user@example.com is an example."""

    def matmul(self, x):
        return x @ self.weight.t()  # threading.local is no host
'''

README = """\
# Where names are moved

Anonymous code for a submission under review.

    git clone https://github.com/huggingface/transformers
    pip install -r requirements.txt

Built with [PyTorch](https://pytorch.org), https://github.com/pytorch/pytorch, https://github.com/neelnanda-io/TransformerLens,
the tuned lens (https://github.com/AlignmentResearch/tuned-lens), https://huggingface.co/gpt2,
https://huggingface.co/datasets/Skylion007/openwebtext and CIFAR (https://www.cs.toronto.edu/~kriz/cifar.html).
Questions: anonymous@example.org. License: MIT.
"""

PROJECT = """\
[project]
name = "heads"
authors = [{name = "Anonymous"}]
dependencies = ["torch>=2", "transformers @ git+https://github.com/huggingface/transformers"]
"""

SVG = """\
<?xml version="1.0"?>
<svg xmlns:dc="http://purl.org/dc/elements/1.1/">
<metadata><dc:creator><dc:title>Matplotlib v3.9.0, https://matplotlib.org/</dc:title></dc:creator></metadata>
<text>head 5.1</text></svg>
"""


def files() -> dict[str, bytes]:
    chat = [{"role": "user", "content": "What is long?"}, {"role": "assistant", "content": "Hope. Will Mark come?"}]
    cells = [
        {"cell_type": "markdown", "source": "# Heads\n" + PROSE, "metadata": {}},
        code(CODE, {"output_type": "stream", "name": "stdout", "text": ["100%|####| 10/10 [00:01<00:00]\n",
            "0.83 [0.79, 0.87]\n"]}),
        code("run()", {"output_type": "error", "ename": "E", "evalue": "x",
            "traceback": ["/usr/lib/python3.11/site-packages/torch/x.py in f(self)"]}),
    ]  # fmt: skip
    paper = simple(
        ["Where names are moved", "Anonymous Authors", "Abstract", *PROSE.splitlines()[:9]],
        ["6 Limitations", "One model only.", "References", "[1] Wang, K. et al. Interpretability in the wild. 2022.",
         "[2] Zhang, F. and Nanda, N. Best practices of activation patching. https://arxiv.org/abs/2309.16042"],
        info={"Creator": "LaTeX with hyperref", "Producer": "pdfTeX-1.40.25", "Title": "Where names are moved", "Author": ""},
    )  # fmt: skip
    users = [{"user": f"person{i}", "author": f"Writer Number{'abcdefghij'[i]}", "text": "x"} for i in range(10)]
    return {
        "paper/paper.tex": TEX.encode(),
        "paper/refs.bib": BIB.encode(),
        "paper/paper.pdf": paper,
        "notebook.ipynb": notebook(cells, kernelspec={"display_name": "Python 3 (ipykernel)", "name": "python3"},
        language_info={"name": "python"}).encode(),
        "src/patch.py": CODE.encode(),
        "README.md": README.encode(),
        "prose.txt": PROSE.encode(),
        "LICENSE": b"MIT License\n\nCopyright (c) 2025 The Authors\n\nThe above copyright notice and this permission notice "
b"shall be\n",
        "pyproject.toml": PROJECT.encode(),
        "requirements.txt": b"torch==2.6.0\nnumpy>=1.26\n",
        "data/chat.json": json.dumps(chat).encode(),
        "data/users.json": json.dumps(users).encode(),
        "data/prompts.csv": b"prompt,answer\n\"When Mary and John went to the store, John gave a drink to\",Mary\n",
        "figures/heads.png": pics.png(pics.text("Software", "Matplotlib version3.9.0, https://matplotlib.org/")),
        "figures/heads.svg": SVG.encode(),
        "figures/photo.jpg": pics.jpeg(pics.exif({0x0131: "GIMP 2.10"})),
        "results.zip": zipped(results__a_DOT_json=json.dumps({"accuracy": 0.83, "model": "gpt2", "seed": 0, "user": "user"})),
        "weights.bin": bytes((i * 7919 + i * i) % 256 for i in range(200_000)),
        "run.sh": b"#!/bin/bash\n#SBATCH --gres=gpu:1\n#SBATCH --time=1:00:00\nexport HOME=/home/user\npython -m heads.run "
b"--data data/\n",
        "environment.json": json.dumps({"python": "3.11.2", "system": "Linux", "cpus": 2, "host": "localhost"}).encode(),
    }  # fmt: skip
