"""The shared vocabulary: site names, results with provenance, errors, the method registry, codecs."""
