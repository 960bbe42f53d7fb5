"""Records in, records out: the vocabulary (`api`), the kernels (`waveform`, `grid`), the plugins (`builtin`)."""
