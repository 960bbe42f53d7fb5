"""The algorithms tresma ships: windows, state and settings around kernels; they enter by the same door as foreign ones."""
