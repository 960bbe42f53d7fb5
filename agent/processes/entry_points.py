"""
Which algorithms are installed: entry points of the group ``tresma.algorithms``, by name.

Where it stands: asked by the agent, which needs no numpy for it, so that no algorithm's process has to search.
"""

ALGORITHM_GROUP = "tresma.algorithms"


def entry_of(name: str) -> str:
    """
    Find ``package.module:Class`` for an algorithm's entry-point name; such a name itself is returned as it is.

    Raises
    ------
    ImportError
        When no installed package offers it, or two do: neither may stand in for the other.
    """
    if ":" in name:
        return name
    import importlib.metadata  # noqa: PLC0415 - large, and needed for names only

    entries = importlib.metadata.entry_points(group=ALGORITHM_GROUP)
    places = {entry.value.replace(" ", "") for entry in entries if entry.name == name}
    if len(places) > 1:
        raise ImportError(f"expected one algorithm {name}, found {', '.join(sorted(places))}; remove all but one")
    if not places:
        known = ", ".join(sorted({entry.name for entry in entries})) or "none"
        raise ImportError(f"expected an installed algorithm ({known}), found {name}; install it or correct the name")
    return places.pop()
