"""``tresma-catalog broker-acl``: print a broker's access list as it is at this moment, without a running catalog."""

import argparse
import sys
import time
from pathlib import Path

from device_catalog.access.certificates import Certificates
from device_catalog.brokers.files import CLIENTS, read_clients
from device_catalog.brokers.publisher import Publisher
from device_catalog.brokers.rights import Rights, access_list
from device_catalog.config import CatalogConfig
from device_catalog.fleet.domain import Guard
from device_catalog.fleet.fleet import Fleet
from device_catalog.fleet.register import Register
from device_catalog.grid.parts import Shelf
from device_catalog.storage.access import AccessStore
from device_catalog.storage.database import open_engine
from device_catalog.storage.networks import NetworkStore
from device_catalog.storage.store import Store
from device_catalog.storage.threads import StorageThreads


def run(config: CatalogConfig, options: argparse.Namespace) -> int:
    """Print the list; return the exit status."""
    engine = open_engine(config.database)
    store, threads = Store(engine), StorageThreads()
    try:
        fleet = Fleet(Publisher((), config.tenant), Guard())
        fleet.load(store.load(), store.tenants())
        certificates = Certificates()
        certificates.load(AccessStore(engine).certificates_in_force(time.time_ns()))
        rights = Rights(Register(fleet, store, threads), Shelf(NetworkStore(engine)), certificates.enrolled)
        clients = read_clients(Path(config.state) / "authority" / CLIENTS)
        sys.stdout.write(access_list(options.broker, rights.members(), clients))
    finally:
        threads.close()
        store.close()
    return 0
