"""
The table of everything that can be asked of the catalog over HTTP, a room for each subject.

The description of the interface is made of it, and a test compares it with the routes that the server has.
"""

from device_catalog.api.operations.access import ACCESS_OPERATIONS
from device_catalog.api.operations.devices import DEVICE_OPERATIONS
from device_catalog.api.operations.networks import NETWORK_OPERATIONS
from device_catalog.api.operations.releases import RELEASE_OPERATIONS
from device_catalog.api.operations.upkeep import UPKEEP_OPERATIONS

OPERATIONS = (
    *DEVICE_OPERATIONS,
    *UPKEEP_OPERATIONS,
    *RELEASE_OPERATIONS,
    *NETWORK_OPERATIONS,
    *ACCESS_OPERATIONS,
)
