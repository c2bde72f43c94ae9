"""Double-blind review: what in a file, folder, archive or repository tells who the authors are, and taking it out.

`check` looks and says where, how certain and what to do; `strip` takes out of bundles what it can, and proves with the
same check that nothing is left.
"""
