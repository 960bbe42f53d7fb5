"""Numerical kernels on a network: pure functions on a `NetworkModel`, called by `algorithms.builtin` only."""
