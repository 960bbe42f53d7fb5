"""What a person types at the meter: check, calibrate, boards, and replay in the laboratory."""
