"""The report as a LaTeX folder: macros, booktabs tables, PDF figures, BibTeX, and a skeleton that compiles."""

from assay.studies.report.latex.paper import write_paper

__all__ = ["write_paper"]
