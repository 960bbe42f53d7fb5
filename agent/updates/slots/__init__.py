"""
The helper that alone may write a root slot and say what boots, and how the agent asks it.

The agent is nobody in particular and stays so: what it may not do it asks of `desk`, which runs as root, once for each
connection (`command`), has no network, and believes nothing that the agent says. It judges the signatures of an image
again, by a root and floors of its own (`offered`), writes piece by piece what matches (`writing`), reads it back, and
keeps what stands in which slot (`ledger`). What boots is the business of the image's own command (`backend`). The
agent's side is `client`; both speak `messages`.
"""
