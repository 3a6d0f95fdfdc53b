"""Paired benchmarks: ours and a peer alternate in one run, and the ratio of their medians is what counts."""
