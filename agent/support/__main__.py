"""
The short-lived process that makes a bundle for the catalog: an order on standard input, the archive on standard output.

Where it stands: started by `making`, beside an agent that goes on measuring, so it gives way to everything, is limited
in memory and time, and goes when the agent does. What is in the bundle is `gathering`'s to say, not the order's.
"""

import os
import resource
import sys
from pathlib import Path

import msgspec

from agent.processes.sandbox import die_with_parent
from agent.support.gathering import gather, meter_of
from agent.support.making_messages import Made, Order

_NICE = 15
_PROCESSOR, _MEMORY = 120, 768 * 2**20


def main() -> int:
    """Make one bundle; what is not in it is said on standard error, as one line of JSON."""
    die_with_parent()
    os.nice(_NICE)
    for limit, value in (
        (resource.RLIMIT_CPU, _PROCESSOR),
        (resource.RLIMIT_AS, _MEMORY),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    meter = meter_of(Path(order.config) if order.config else None, os.environ, Path(order.state))
    bundle = gather(meter, sys.stdout.buffer, lambda _: None, order.most)
    sys.stdout.buffer.flush()
    sys.stderr.write(f"\n{msgspec.json.encode(Made(bundle.missing)).decode()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
