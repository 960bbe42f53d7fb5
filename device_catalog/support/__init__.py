"""
Help for a device from afar: who asked for what and why, bundles that arrive, lines of logs while they are watched.

`requests` decides, `wishes` says what stands in a device's desired document, `lines` reads what comes by the broker.
"""
