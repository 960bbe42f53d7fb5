"""The catalog over HTTP: thin handlers over `device_catalog.changes` and `device_catalog.questions`."""
