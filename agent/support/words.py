"""What stands in every support bundle, for whoever opens one."""

README = """\
A support bundle of a tresma meter
==================================

What the meter told of itself when this was made, for whoever helps with it. manifest.json names every file with its
length and SHA-256, and what could not be collected, with the reason.

    versions.json         machine, system, packages
    configuration.json    the agent's own few lines
    status.json           its last report to the catalog: algorithms, brokers, source, clock, trust, problems
    isolation.json        which layers confine algorithms, as a probe measured them at the agent's start
    machine.json          room on the disks, memory, load, heat, wear of the card, network links, time
    files.json            the files of the agent's state: length and age, no content
    service.txt           the service as systemd sees it
    settings/             settings in force and those before, versions of algorithms, calibration
    health/               how the meter fared: a line for each change, else one every quarter of an hour
    log/                  the agent's own log; the journal of tresma's units; warnings of the kernel
    recordings/           the newest recordings of events (COMTRADE: waveforms of voltages and currents)

No keys, credentials, tokens or passwords are in it. Settings are let through only where the schema knows them;
"left out: not known by the schema" counts the others. In texts "(left out)" stands where something was, or looked like,
a secret; of long digests the first eight digits are kept.

Recordings and states of the grid tell something of customers' consumption. Treat a bundle as measurement data of your
network: hand it to nobody who may not see those, and delete it when the case is closed.

How to read it: begin with status.json (problems) and the end of log/; compare health/ at the time in question; when the
agent is dead, service.txt and log/journal.txt say why.
"""
