"""
A card becomes a meter: what `tresma flash` wrote is taken up at the first start, and when somebody changes it.

``tresma-agent provision`` runs at each start, before the network and the agent. ``card_folder`` reads and wipes the
folder on the FAT partition, ``taking_up`` keeps it on the data partition and makes everything of it that needs no
network (``network_files``, the host's name, the commissioning page's settings); ``enrolling`` then asks the catalog
for a certificate until it has one, and ``diagnosis`` finds out in one sentence why it has none. ``status`` tells all
that to whoever stands before the meter. Each step can be repeated: power may fail between any two.
"""
