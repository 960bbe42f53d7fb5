"""What the agent and the process that makes a bundle tell each other."""

import msgspec


class Order(msgspec.Struct, frozen=True):
    """
    What to look at.

    Attributes
    ----------
    config : str
        File with the agent's own lines; empty where the environment has all of them.
    state : str
        The agent's folder.
    most : int
        [bytes]
    """

    config: str
    state: str
    most: int


class Made(msgspec.Struct, frozen=True):
    """What is not in the bundle, and why."""

    missing: dict[str, str]
