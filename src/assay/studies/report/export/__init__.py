"""Figures as files: SVG, vector PDF, PNG, and all of a run in one interactive page, each from what the report draws.

write_figures(folder, forms=("svg", "pdf", "png", "html"))
"""

from assay.studies.report.export.files import FORMS, Form, checked_forms, figure_files, write_figures

__all__ = ["FORMS", "Form", "checked_forms", "figure_files", "write_figures"]
