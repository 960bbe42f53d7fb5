"""
What may be said of outputs besides the brokers: where measurements may be sent and to whom. Pure.

Asked by `validation`, and through it by catalog and device alike. A name that must be looked up is refused: an output
is bound when a device starts, often before there is a name service.
"""

import ipaddress

from algorithms.api.errors import Problem, shortened
from device_catalog.contract.documents import Configuration, SynchrophasorStream
from device_catalog.contract.topics import is_identifier

MAXIMUM_CLIENTS = 16
MAXIMUM_NAMED = 64


def problems_of_outputs(configuration: Configuration, where: str) -> list[Problem]:
    """
    Find everything wrong with the outputs of a configuration.

    >>> from device_catalog.contract.documents import Outputs
    >>> everywhere = Outputs(SynchrophasorStream("0.0.0.0", udp_port=4713))
    >>> for problem in problems_of_outputs(Configuration(outputs=everywhere), "outputs"):
    ...     print(problem)
    outputs.c37_118.address: expected one of the device's own IP addresses, found 0.0.0.0; name the one whose network \
the concentrators are in
    outputs.c37_118.clients: expected those who may command by UDP, found none; whoever asked would be sent to
    outputs.c37_118.algorithm: expected an algorithm that is assigned, found phasors; assign it
    """
    stream = configuration.outputs.c37_118
    if stream is None:
        return []
    path = f"{where}.c37_118"
    problems = [*_of_addresses(stream, path), *_of_numbers(stream, path)]
    if stream.algorithm not in [assignment.algorithm for assignment in configuration.algorithms]:
        expected = "an algorithm that is assigned"
        problems.append(Problem(f"{path}.algorithm", expected, shortened(stream.algorithm), "assign it"))
    return problems


def udp_target(text: str) -> tuple[str, int] | None:
    """
    Read ``host:port`` of an IP address; None where it is none.

    >>> udp_target("192.0.2.5:4713"), udp_target("[2001:db8::1]:4713"), udp_target("pdc:4713")
    (('192.0.2.5', 4713), ('2001:db8::1', 4713), None)
    """
    host, _, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65_536):
        return None
    return (host, int(port)) if _is_address(host) else None


def network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """Read an address or a network; None where it is none."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _of_addresses(stream: SynchrophasorStream, path: str) -> list[Problem]:
    problems = []
    if not _is_address(stream.address) or ipaddress.ip_address(stream.address).is_unspecified:
        remedy = "name the one whose network the concentrators are in"
        expected = "one of the device's own IP addresses"
        problems.append(Problem(f"{path}.address", expected, shortened(stream.address), remedy))
    for name, read, expected in (
        ("udp_to", udp_target, "an IP address with its port, such as 192.0.2.5:4713"),
        ("clients", network, "an IP address or a network such as 192.0.2.0/24"),
    ):
        texts: tuple[str, ...] = getattr(stream, name)
        if len(texts) > MAXIMUM_NAMED:
            problems.append(Problem(f"{path}.{name}", f"at most {MAXIMUM_NAMED}", str(len(texts))))
        problems += [
            Problem(f"{path}.{name}[{index}]", expected, shortened(text))
            for index, text in enumerate(texts[:MAXIMUM_NAMED])
            if read(text) is None
        ]
    if stream.udp_port and not stream.clients:
        remedy = "whoever asked would be sent to"
        problems.append(Problem(f"{path}.clients", "those who may command by UDP", "none", remedy))
    if not (stream.port or stream.udp_port or stream.udp_to):
        problems.append(Problem(f"{path}.port", "a TCP port, a UDP port or somebody to send to", "none"))
    return problems


def _of_numbers(stream: SynchrophasorStream, path: str) -> list[Problem]:
    problems = [
        Problem(f"{path}.{name}", f"a whole number from {least} to {most}", str(getattr(stream, name)))
        for name, least, most in (
            ("port", 0, 65_535),
            ("udp_port", 0, 65_535),
            ("maximum_clients", 1, MAXIMUM_CLIENTS),
            ("id_code", 1, 65_534),
        )
        if not least <= getattr(stream, name) <= most
    ]
    if not (stream.station.isascii() and stream.station.isprintable() and len(stream.station) <= 16):
        problems.append(Problem(f"{path}.station", "at most 16 ASCII characters", shortened(stream.station)))
    if not is_identifier(stream.algorithm):
        problems.append(Problem(f"{path}.algorithm", "the name of an algorithm", shortened(stream.algorithm)))
    return problems


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
