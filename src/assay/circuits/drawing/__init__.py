"""Pictures of circuits and of their curves, as SVG text: no browser, no renderer."""

from assay.circuits.drawing.curve import curve_picture
from assay.circuits.drawing.wiring import circuit_picture

__all__ = ["circuit_picture", "curve_picture"]
