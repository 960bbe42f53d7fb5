"""The algorithms tresma ships: windows, state and settings around kernels, by the same door as foreign ones."""
