"""
Where the grid broker of a network is, and under which tenant its topics stand: told, or found by a device of it.

Where it stands: commands that speak to switches and reconfigurators ask here. The settings come first, then the
addresses that the catalog gives a device of the network.
"""

from device_catalog.operator.catalog import Catalog
from device_catalog.operator.errors import UsageError
from device_catalog.operator.settings import Settings
from device_catalog.operator.subscriber import Endpoint, parse_endpoint


def grid_broker(network: str, catalog: Catalog, settings: Settings, tenant: str) -> tuple[Endpoint, str]:
    """
    Find the grid broker and the tenant.

    Parameters
    ----------
    network : str
    catalog : Catalog
    settings : Settings
    tenant : str
        Empty where it is not told.

    Raises
    ------
    UsageError
        When neither the settings nor any device of the network names a broker.
    """
    if settings.grid and tenant:
        return parse_endpoint(settings.grid), tenant
    for summary in catalog.devices({"network": network}):
        addresses = catalog.device(summary.device).desired.configuration.brokers.grid
        if settings.grid or addresses:
            return parse_endpoint(settings.grid or addresses[0]), tenant or summary.tenant
    raise UsageError(
        f"where is the grid broker? No device of {network} names any; give --grid mqtt://host:1883 and --tenant"
    )
