"""Numerical kernels on waveforms: pure functions on arrays, called by `algorithms.builtin` only."""
