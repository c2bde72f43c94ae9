"""Pictures of circuits and of their curves, as SVG text: no browser, no renderer. `stored` draws results of studies."""

from assay.circuits.drawing.curve import curve_picture
from assay.circuits.drawing.stored import recovery, scored_edges
from assay.circuits.drawing.wiring import circuit_picture, edges_picture

__all__ = ["circuit_picture", "curve_picture", "edges_picture", "recovery", "scored_edges"]
