"""The catalog over HTTP: thin handlers over `device_catalog.fleet.changes` and `device_catalog.fleet.questions`."""
