"""Switches: proposals, sequences under a lease, and the switch that carries out orders."""
