"""
All areas of a network that no agent of their own looks after: their plug-ins in one process, behind one MQTT client.

``python tests/support/state_rest.py ORDER``, ORDER being JSON: ``document`` (path of the network), ``port`` of the data
broker, ``without`` (areas that have an agent), ``settings`` by level. The plug-ins are the real ones, given the areas
that the catalog would give them, and what they take and tell goes over the broker; what is left out is an agent around
each. Says ``ready`` once subscribed, and ends when it is told to (SIGTERM).
"""

import json
import queue
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from algorithms.api.grid_records import GridState
from algorithms.api.records import Record
from algorithms.api.wire import Header, decode, encode
from device_catalog.contract import topics
from tests.support.state_chain import Chain, document_of

TICK = 0.05
"""How often plug-ins are told the time [s]."""


class Rest:
    """
    The plug-ins, and who gets what.

    Parameters
    ----------
    order : dict
    """

    def __init__(self, order: dict[str, Any]) -> None:
        document = document_of(json.loads(Path(order["document"]).read_text()))
        self._chain = Chain(document, order["settings"], without=order["without"])
        self._records: queue.SimpleQueue[Record] = queue.SimpleQueue()
        self._numbers = 0
        self._boot = time.time_ns() // 1_000_000_000 % 2**31
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="rest", protocol=MQTTv5)
        self._client.on_message = self._hear
        self._client.connect("127.0.0.1", order["port"])
        self._client.loop_start()
        wanted = [topics.frames("default", device) for device in self._chain.devices]
        wanted += [topics.states("default", "+", area) for area in self._chain.fed_by]
        for start in range(0, len(wanted), 50):
            self._client.subscribe([(topic, 1) for topic in wanted[start : start + 50]])

    def _hear(self, client: Client, userdata: Any, message: MQTTMessage) -> None:  # noqa: ARG002 - as paho calls it
        self._records.put(decode(bytes(message.payload))[1])

    def run(self) -> None:
        """Work until the process ends."""
        due = 0.0
        while True:
            now = time.monotonic()
            if now >= due:
                due = now + TICK
                for name, plugin in self._chain.plugins.items():
                    self._tell(name, plugin.tick(time.time_ns()))
            try:
                record = self._records.get(timeout=max(0.0, due - time.monotonic()))
            except queue.Empty:
                continue
            for name in self._chain.takers(record):
                self._tell(name, self._chain.plugins[name].process(record))

    def _tell(self, name: str, records: Sequence[Record]) -> None:
        for record in records:
            if isinstance(record, GridState):
                device = self._chain.areas[name].device
                target = topics.route(record, "default", device)
                assert target is not None
                self._numbers += 1
                header = Header(device, self._boot, 1, self._numbers, record.time_ns)
                self._client.publish(target[1], encode(record, header), qos=1, retain=True)


def main() -> None:
    """Be the rest of a network."""
    rest = Rest(json.loads(sys.argv[1]))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    rest.run()


if __name__ == "__main__":
    main()
