"""What the catalog counts, as Prometheus reads it."""

from device_catalog.brokers.publisher import Publisher
from device_catalog.fleet.fleet import Fleet
from device_catalog.fleet.leases import State
from device_catalog.storage.threads import StorageThreads


def metrics_text(fleet: Fleet, threads: StorageThreads, publisher: Publisher) -> bytes:
    """Write the counters in the text format 0.0.4."""
    presence = fleet.presence
    lines = [
        "# HELP tresma_polls_total Polls taken since the start.",
        "# TYPE tresma_polls_total counter",
        f"tresma_polls_total {fleet.polls}",
        "# HELP tresma_polls_refused_total Polls of devices that ask far too often, answered with 429.",
        "# TYPE tresma_polls_refused_total counter",
        f"tresma_polls_refused_total {fleet.refused}",
        "# HELP tresma_devices Registered devices by what is known of their being there.",
        "# TYPE tresma_devices gauge",
        *(f'tresma_devices{{state="{state.name.lower()}"}} {presence.count(state)}' for state in State),
        "# HELP tresma_returns_total Devices that came back after having been unavailable.",
        "# TYPE tresma_returns_total counter",
        f"tresma_returns_total {presence.flaps}",
        "# HELP tresma_waiting Whether silence means nothing at present.",
        "# TYPE tresma_waiting gauge",
        f"tresma_waiting {int(presence.waiting)}",
        "# HELP tresma_failed_writes_total Writes that the database did not take since the start.",
        "# TYPE tresma_failed_writes_total counter",
        f"tresma_failed_writes_total {threads.failed_writes}",
        "# HELP tresma_grid_broker_connected Whether a grid broker is being told who is there.",
        "# TYPE tresma_grid_broker_connected gauge",
        f"tresma_grid_broker_connected {int(publisher.connected)}",
        "# HELP tresma_words_waiting Messages that no grid broker has acknowledged yet.",
        "# TYPE tresma_words_waiting gauge",
        f"tresma_words_waiting {publisher.waiting()}",
    ]
    return ("\n".join(lines) + "\n").encode()
