"""What goes out over the two brokers and what comes in: numbered, kept as long as it must be, sent in order."""
