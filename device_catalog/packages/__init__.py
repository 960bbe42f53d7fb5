"""
Algorithms on the operator's side: packages to write, judge and pack, and the signed repository they are pushed from.

A package's way::

    skeleton -> an author's folder -> description (its class, in a process of its own) -> packing -> a wheel
    keys, roles -> repository (a plain folder of TUF metadata and targets) -> signing, one signer after the other

What a package must be stands in `device_catalog.contract.packages`, because meters judge by the same rules.
"""
