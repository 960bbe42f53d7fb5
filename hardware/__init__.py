"""Where waveforms come from: boards, recordings and simulation, behind one protocol (`source`)."""
