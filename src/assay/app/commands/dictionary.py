"""`assay dictionary`: train a sparse dictionary of a site, measure it beside what it must beat, explain its features."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from assay.app.commands.model_options import AsJson, Device, Dtype, ModelName, Revision, load_model

if TYPE_CHECKING:
    from assay.core.result import Result

dictionary = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Train sparse dictionaries of a site, measure and explain them."
)

Folder = Annotated[Path, typer.Argument(help="The dictionary's folder, as `assay dictionary train` writes it.")]
Site = Annotated[str | None, typer.Option(help="Where it reads and writes, if its folder does not say.")]
Length = Annotated[int, typer.Option(min=3, help="Tokens of a piece.")]
Corpus = Annotated[
    Literal["stdlib", "topics", "docstrings", "licences"],
    typer.Option(help="Text that is on this machine; every eighth document is held out."),
]
TextFile = Annotated[
    Path | None, typer.Option("--texts", help="Texts of your own instead: a file with a text on each line.")
]


@dictionary.command("train")
def train(
    folder: Annotated[Path, typer.Argument(help="Where the dictionary is written.")],
    site: Annotated[str, typer.Option(help="Where it reads and writes, such as L5.resid_post.")],
    features: Annotated[int, typer.Option(min=1, help="Size of the dictionary.")] = 2048,
    k: Annotated[int, typer.Option(min=1, help="Features of a token at most.")] = 32,
    penalty: Annotated[
        float | None, typer.Option(help="Keep it sparse by an L1 penalty of this weight, in place of --k.")
    ] = None,
    tokens: Annotated[int, typer.Option(min=1, help="How many tokens of text at most.")] = 200_000,
    epochs: Annotated[int, typer.Option(min=1, help="How often each is seen.")] = 4,
    corpus: Corpus = "stdlib",
    texts: TextFile = None,
    untrained: Annotated[
        bool, typer.Option("--untrained", help="Of the same architecture before training: the control.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of first weights and order.")] = 0,
    model: ModelName = None,
    revision: Revision = None,
    dtype: Dtype = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Train a sparse autoencoder on a site's activations; `edit.feature` can use its folder.

    The first token of each piece of text is left out: in many models it is an attention sink.

    \b
    Examples:
      assay dictionary train sae --site L5.resid_post --tokens 200000
      assay dictionary train control --site L5.resid_post --untrained
    """
    from assay.app.dictionary_display import show_trained
    from assay.core import registry

    recipe: dict[str, Any] = {"features": features, "k": k, "epochs": epochs}
    if penalty is not None:
        recipe |= {"activation": "relu", "penalty": penalty}
    settings = {
        "site": site,
        "recipe": recipe,
        "texts": {"corpus": "data" if texts else corpus, "tokens": tokens},
        "weights": "untrained" if untrained else "trained",
        "seed": seed,
    }
    method = registry.find("train_dictionary")
    asked, data = method.validated(settings), _lines(texts)
    loaded = load_model(model, revision=revision, dtype=dtype, device=device)
    made = method.run(loaded, data, asked)
    made.save(folder)
    show_trained(made, folder, as_json=as_json)


@dictionary.command("measure")
def measure(
    folder: Folder,
    site: Site = None,
    pieces: Annotated[int, typer.Option(min=1, help="How many pieces of held-out text.")] = 48,
    length: Length = 64,
    corpus: Corpus = "stdlib",
    texts: TextFile = None,
    model: ModelName = None,
    revision: Revision = None,
    dtype: Dtype = None,
    device: Device = None,
    out: Annotated[Path | None, typer.Option(help="A file for the result, such as quality.npz.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure what it reconstructs, and what the model loses with the reconstruction in place.

    Beside it stand as many principal components as features fire, a random dictionary of the same size, mean and zero.

    \b
    Example:
      assay dictionary measure sae --pieces 48
    """
    from assay.app.dictionary_display import show_quality
    from assay.core import registry

    found, data = _load(folder, site), _lines(texts)
    loaded = load_model(model, revision=revision, dtype=dtype, device=device)
    settings = {"corpus": "data" if texts else corpus, "pieces": pieces, "length": length}
    result: Result = registry.find("dictionary_quality").run(loaded, data, settings, dictionary=found)
    saved = None if out is None else str(result.save(out))
    show_quality(result, saved, as_json=as_json)


@dictionary.command("explain")
def explain(
    folder: Folder,
    feature: Annotated[int, typer.Argument(min=0, help="The feature's number.")],
    site: Site = None,
    pieces: Annotated[int, typer.Option(min=1, help="How many pieces of held-out text.")] = 256,
    length: Length = 64,
    corpus: Corpus = "stdlib",
    texts: TextFile = None,
    model: ModelName = None,
    revision: Revision = None,
    dtype: Dtype = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Show what one feature does: its strongest examples, the tokens it fires on, the tokens it promotes directly.

    \b
    Example:
      assay dictionary explain sae 17
    """
    from assay.app.dictionary_display import show_explanation

    found, data = _load(folder, site), _lines(texts)
    found.name(feature)
    loaded = load_model(model, revision=revision, dtype=dtype, device=device)
    settings = {"feature": feature, "corpus": "data" if texts else corpus, "pieces": pieces, "length": length}
    told = found.explain(loaded, data, **settings)
    if as_json:
        typer.echo(json.dumps(told.to_json(), indent=2, ensure_ascii=False))
    else:
        show_explanation(told)


def _load(folder: Path, site: str | None) -> Any:
    from assay.core import registry

    return registry.find("dictionary_quality").takes["dictionary"].load(folder, site=site)  # type: ignore[attr-defined]


def _lines(path: Path | None) -> list[str] | None:
    from assay.core.errors import DataError

    if path is None:
        return None
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} can't be read ({error}): expected a text file with a text on each line.") from None
    if not lines:
        raise DataError(f"{path} holds no text: expected one on each line.")
    return lines
