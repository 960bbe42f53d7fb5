"""What a device shows servers, and whom it believes: made anew for each connection, since certificates change."""

import ssl

from agent.config import AgentConfig
from agent.identity.files import Identity
from agent.trust.authorities import allowed


def broker_context(config: AgentConfig) -> ssl.SSLContext:
    """
    Make the context for a connection to a broker.

    Raises
    ------
    OSError
        When a file cannot be used; an `ssl.SSLError` is one.
    """
    identity = Identity(config.state_dir)
    context = ssl.create_default_context(cafile=anchors_of(config) or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if identity.stamp():
        context.load_cert_chain(identity.path)
    return context


def anchors_of(config: AgentConfig) -> str:
    """
    Name the file with the authorities that are believed; empty for the system's own.

    Raises
    ------
    OSError
        When a file can be neither read nor written.
    """
    anchors = Identity(config.state_dir).anchors
    return allowed(config.state_dir, config.ca or (str(anchors) if anchors.exists() else ""))
