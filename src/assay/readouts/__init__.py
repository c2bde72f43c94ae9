"""Reading a pass: what the residual stream already says, and which parts write the answer."""

from assay.readouts.attention import attention_patterns
from assay.readouts.attribution import direct_logit_attribution
from assay.readouts.lens import logit_lens

__all__ = ["attention_patterns", "direct_logit_attribution", "logit_lens"]
