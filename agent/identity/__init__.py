"""
Who a device is to catalog and brokers: a key that was made here and never leaves, and a certificate for it.

`files` keeps both, `tls` shows them, `exchange` asks the catalog in a short-lived process (cryptography would cost the
agent 18 MiB for a few seconds a year), `keeper` has it asked when it is due.
"""
