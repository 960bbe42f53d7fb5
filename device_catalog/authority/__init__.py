"""
The catalog's authority: makes certificates for devices and servers, and says which of them are void.

Where it stands: below `enrolments`, which decides who gets one, and `tls`, which serves with one. `bundle` reads and
writes the key and its certificates, `authority` signs, `command` is what people do with it. Nothing else in the catalog
sees a private key.
"""
