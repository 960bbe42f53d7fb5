"""The catalog over HTTP: thin handlers over `device_catalog.services`."""
