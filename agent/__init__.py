"""The agent: it configures itself from the catalog, samples, runs algorithms and publishes what they find."""
