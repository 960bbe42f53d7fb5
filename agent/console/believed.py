"""
Settings for commands that sample or connect on their word: believed as the agent believes them, and no further.

A command runs beside the agent or instead of it, with the same credentials. So where a root of trust was given, what
the catalog answers is judged by the DSO's policy first: the one that the agent keeps, or else one that is fetched now.
"""

import asyncio

from agent.clock import SystemClock
from agent.config import AgentConfig
from agent.trust.in_force import TrustInForce
from agent.trust.policy_keeper import PolicyKeeper
from device_catalog.contract.documents import Desired
from device_catalog.contract.signatures import opened
from device_catalog.contract.validation import DocumentError, parse_desired


def read_believed(config: AgentConfig, document: bytes, *, known: bool = False) -> Desired:
    """
    Read a desired document.

    Parameters
    ----------
    config : AgentConfig
    document : bytes
        With its signatures, as `CatalogClient.fetch` gives it.
    known : bool
        Whether it was kept on this device because it was in force.

    Raises
    ------
    ConfigError
        When this device's command key cannot be read.
    DocumentError
        With every problem: it is not believed, not allowed, or cannot be read.
    """
    keeper = PolicyKeeper(config, SystemClock(), lambda: None)
    trust = TrustInForce(config, keeper)
    trust.load()
    try:
        asyncio.run(keeper.first())
    finally:
        keeper.close()
    body, signature = opened(document)
    problems = trust.problems_of_origin(body, signature, known=known)
    if problems:
        raise DocumentError(problems)
    desired = parse_desired(body)
    problems = trust.problems_of_document(desired, known=known)
    if problems:
        raise DocumentError(problems)
    return desired
