"""
The short-lived process that makes a bundle for the catalog: an order on standard input, the archive on standard output.

Where it stands: started by `making`, beside an agent that goes on measuring, so it gives way to everything, is limited
in memory and time, and goes when the agent does. What is in the bundle is `gathering`'s to say, not the order's.
"""

import os
import sys
from pathlib import Path

import msgspec

from agent.processes.short_lived import bound
from agent.support.gathering import gather, meter_of
from agent.support.making_messages import Made, Order

_NICE = 15
_PROCESSOR, _MEMORY = 120, 768 * 2**20


def main() -> int:
    """Make one bundle; what is not in it is said on standard error, as one line of JSON."""
    bound(processor=_PROCESSOR, memory=_MEMORY)
    os.nice(_NICE)
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    meter = meter_of(Path(order.config) if order.config else None, os.environ, Path(order.state))
    bundle = gather(meter, sys.stdout.buffer, lambda _: None, order.most)
    sys.stdout.buffer.flush()
    sys.stderr.write(f"\n{msgspec.json.encode(Made(bundle.missing)).decode()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
