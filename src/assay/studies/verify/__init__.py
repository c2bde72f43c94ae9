"""Verifying a bundle: does it agree with itself, and does the study come out the same when it is run again?

consistent   without running: the study file is the plan, the verdicts follow from the numbers, nothing was left out
agreement    two numbers, or two tables of them: the same, within tolerance, or how far apart
machine      whether the two runs could give the same bits, and what differs
rerun        the model by its fingerprint, the prompts, and the run
verification all of it together, and the outcome

0   everything holds          1   a verdict changed          2   it can't be verified
"""

from assay.studies.verify.rerun import Wanted
from assay.studies.verify.verification import Verification, check_bundle, verify_bundle

__all__ = ["Verification", "Wanted", "check_bundle", "verify_bundle"]
