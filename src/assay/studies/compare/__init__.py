"""Several runs side by side: two models, two seeds, an original and its replication. Which claims hold where?

runs         run folders and bundles, read
difference   one hypothesis' number in two runs: their difference, paired where they share examples, and equivalence
seeds        one hypothesis over three seeds or more: seeds as a random effect
comparison   all hypotheses of all runs
page         the same as one self-contained HTML file; forest draws it
"""

from assay.studies.compare.comparison import Comparison, compare
from assay.studies.compare.page import comparison_page, write_comparison
from assay.studies.compare.runs import Compared, read_run

__all__ = ["Compared", "Comparison", "compare", "comparison_page", "read_run", "write_comparison"]
