"""
What a whole agent costs: six channels at 6.4 kHz in real time, fifty frames a second made, all of them published.

    python tests/benchmarks/agent.py [--json] [--quick]

A catalog, two Mosquitto brokers and a subscriber run beside the agent; only the agent's own processes are counted
(agent, fork server, sampler with its simulated source, algorithm). Processor time is what the kernel accounts to
them, start-up left out; memory is their proportional set size at the end. Fifty frames a second are measured with
the default blocks of 100 ms and with blocks of 20 ms (five times the wake-ups, 80 ms sooner); one frame a second where
it is the only one made, and where it is one of fifty made. Most of it is caches and address translation that are cold
after each sleep: a machine with busy neighbours shows more.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.report import Report, arguments
from tests.support.agent import PHASORS, Plant
from tests.support.listener import Listener
from tests.support.waiting import wait_until

RARE = {"algorithm": "phasors", "settings": {"window": 4, "report_rate": 1}}

CASES = {
    "50 frames/s published": ({**PHASORS}, 0.1, "<= 6"),
    "50 frames/s published, blocks of 20 ms": ({**PHASORS}, 0.02, ""),
    "1 of 50 frames/s published": ({**PHASORS, "publish": 1.0}, 0.1, ""),
    "1 frame/s made and published": (RARE, 0.1, "<= 3"),
}
"""What is assigned, how often samples are handed on [s], and the share of a core asked for [%]."""


def main() -> None:
    """Measure each case and print."""
    options = arguments(__doc__.splitlines()[1]).parse_args()
    seconds = 10.0 if options.quick else 60.0
    report = Report("agent: cost of a whole meter", {"seconds per case": seconds})
    for name, (assignment, block, reach) in CASES.items():
        acquisition = {"driver": "simulated", "sample_rate": 6400, "block_duration": block}
        with Plant() as plant, Listener(plant.data.port, "v1/default/meters/+/frames") as listener:
            agent = plant.add("m-1", algorithms=[assignment], acquisition=acquisition)
            wait_until(lambda heard=listener.heard: len(heard) > 1, "frames", timeout=30)
            time.sleep(2.0)  # the start is over, and caches are warm
            counted, used, begin = len(listener.heard), agent.processor(), time.monotonic()
            time.sleep(seconds)
            elapsed = time.monotonic() - begin
            share = 100 * (agent.processor() - used) / elapsed
            frames = (len(listener.heard) - counted) / elapsed
            memory = agent.memory() / 2**20
            lost = plant.reported("m-1")["source"]["lost"]
        report.figure(f"{name}: processor", share, "% of core", reach)
        report.figure(f"{name}: memory (PSS)", memory, "MiB", "<= 80")
        report.figure(f"{name}: heard", frames, "frames/s")
        report.figure(f"{name}: samples lost", lost, "", "<= 0")
    report.finish(as_json=options.json)


if __name__ == "__main__":
    main()
