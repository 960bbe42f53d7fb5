"""
Assembles the history and runs it: database opened and brought to the newest shape, then broker, keeper and sink.

The end (SIGTERM): the last batch is written and acknowledged, and what waits for the sink is sent.
"""

import logging
import signal
import ssl
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from device_catalog.config import CatalogConfig
from device_catalog.errors import StorageError
from device_catalog.history.arrival import Arrival, Content
from device_catalog.history.keeper import Keeper
from device_catalog.history.listener import HistoryListener
from device_catalog.history.room import Limits
from device_catalog.history.sink import LineSink
from device_catalog.history.store import HistoryStore
from device_catalog.storage.database import held, open_engine

_lock_key = 0x7472_6869
_log = logging.getLogger(__name__)


def limits_of(config: CatalogConfig) -> Limits:
    """Read how much is kept from the configuration."""
    days = {content: config.history_days[content.value] for content in Content}
    return Limits(days, config.history_days["minutes"], config.history_budget)


def keep_history(config: CatalogConfig) -> None:
    """
    Keep what the data broker carries until told to end.

    Raises
    ------
    StorageError, ConfigError
        When it cannot start.
    """
    _make_folder(config.history_database)
    engine = open_engine(config.history_database)
    with held(engine, _lock_key, "history"):
        store = HistoryStore(engine)
        before, after = store.prepare()
        if before != after:
            _log.info("history brought from shape %s to %s", before or "none", after)
        sink = _sink(config)
        keeper = Keeper(store, limits_of(config))
        listener = HistoryListener(
            config.data_brokers, config.tenant, keeper, _handed_on(sink, keeper), lambda: _broker_context(config)
        )

        def end(_number: int, _frame: FrameType | None) -> None:
            listener.stop()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
        if sink is not None:
            sink.start()
        _log.info("keeping the history; %d stretches of time wait to be packed", keeper.pending)
        try:
            listener.run()
        finally:
            if sink is not None:
                sink.stop()
            store.close()


def _broker_context(config: CatalogConfig) -> ssl.SSLContext:
    """Make a context for a broker, as the catalog itself does: it is the same catalog to them."""
    from device_catalog.access.tls import OwnCertificate, client_context, now  # noqa: PLC0415 - as above
    from device_catalog.authority.authority import Authority  # noqa: PLC0415 - cryptography, only where TLS is spoken

    folder = Path(config.state) / "authority"
    authority = Authority.open(folder)
    return client_context(authority.anchors, OwnCertificate(authority, folder).file(now()))


def _sink(config: CatalogConfig) -> LineSink | None:
    return LineSink(config.line_protocol, _token(config.line_protocol_token_file)) if config.line_protocol else None


def _handed_on(sink: LineSink | None, keeper: Keeper) -> Callable[[Arrival], None]:
    def hand_on(arrival: Arrival) -> None:
        if sink is not None:
            sink.offer(arrival)
            for name, count in sink.told().items():
                keeper.count(f"sink.{name}", count)

    return hand_on


def _make_folder(database: str) -> None:
    if not database.startswith("sqlite:///"):
        return
    folder = Path(database.removeprefix("sqlite:///")).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        found = f"{folder}: {error.strerror}"
        raise StorageError(f"expected a folder that can be made, found {found}; give another --state") from error


def _token(file: str) -> str:
    if not file:
        return ""
    try:
        return Path(file).read_text(encoding="utf-8")[:4096].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(
            f"expected a token in {file}, found: {getattr(error, 'strerror', None) or 'no text'}"
        ) from error
