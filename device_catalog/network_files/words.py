"""Numbers as people read them: counts, voltages, powers."""


def count(number: int, word: str, plural: str = "") -> str:
    """
    Write how many there are.

    >>> count(1, "switch", "switches"), count(3, "switch", "switches")
    ('1 switch', '3 switches')
    """
    return f"{number} {word if number == 1 else plural or f'{word}s'}"


def voltage_words(voltage: float) -> str:
    """Write a voltage [V]."""
    return f"{voltage / 1e3:g} kV" if voltage >= 1e3 else f"{voltage:g} V"


def power_words(power: float) -> str:
    """Write a power [W]."""
    return f"{power / 1e6:.3g} MW" if abs(power) >= 1e6 else f"{power / 1e3:.3g} kW"
