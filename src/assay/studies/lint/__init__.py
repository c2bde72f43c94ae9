"""What a reviewer would say of a study file before anything is computed."""

from assay.studies.lint.finding import Finding
from assay.studies.lint.lint import check_study

__all__ = ["Finding", "check_study"]
