"""The short-lived process that asks for a certificate: one order on standard input, one answer on standard output."""

import sys
from pathlib import Path

import msgspec

from agent.errors import AgentError
from agent.identity.files import Identity


class Order(msgspec.Struct, frozen=True):
    """
    What is wanted.

    Attributes
    ----------
    device, catalog, state, ca : str
    token_file : str
        For the first certificate; empty to renew.
    """

    device: str
    catalog: str
    state: str
    ca: str = ""
    token_file: str = ""


class Outcome(msgspec.Struct, frozen=True):
    """What came of it: nothing to say where it was done, or why not, and whether asking again may help."""

    problem: str = ""
    final: bool = False


def main() -> int:
    """Carry out the order on standard input."""
    order = msgspec.json.decode(sys.stdin.buffer.read(65_536), type=Order)
    sys.stdout.buffer.write(msgspec.json.encode(_done(order)))
    return 0


def _done(order: Order) -> Outcome:
    try:
        from agent.identity import exchange  # noqa: PLC0415 - what is missing is told like all else
    except ModuleNotFoundError as error:
        return Outcome(f"expected the library {error.name}, found none; install python3-cryptography", final=True)
    identity = Identity(Path(order.state))
    try:
        if order.token_file:
            token = exchange.read_token(Path(order.token_file))
            if token.device != order.device:
                return Outcome(f"expected a token for {order.device}, found one for {token.device}", final=True)
            exchange.enrol(token, order.catalog, identity, order.ca)
        else:
            exchange.renew(order.device, order.catalog, identity, order.ca)
    except exchange.EnrolmentError as error:
        return Outcome(str(error), error.final)
    except (AgentError, OSError) as error:
        return Outcome(str(error))
    return Outcome()


if __name__ == "__main__":
    sys.exit(main())
