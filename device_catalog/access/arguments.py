"""Options of ``tresma-catalog`` about TLS, the authority and the brokers' access lists; loads nothing."""

import argparse
from typing import Any


def serve_arguments(serve: argparse.ArgumentParser) -> None:
    """Add what concerns TLS and access."""
    secure = serve.add_argument_group("TLS and access", "TLS is spoken on every address but loopback.")
    secure.add_argument(
        "--name", action="append", metavar="HOST", help="the catalog is reached by this name; for its certificate"
    )
    secure.add_argument("--certificate", metavar="FILE", help="the server's certificate, where it is not made here")
    secure.add_argument("--key", metavar="FILE", help="its key")
    secure.add_argument("--tls", action="store_true", default=None, help="speak TLS on loopback too")
    secure.add_argument("--insecure", action="store_true", default=None, help="speak plain HTTP to other machines")
    secure.add_argument(
        "--proxy", action="append", metavar="ADDRESS", help="a proxy that ends TLS; its word on clients is taken"
    )
    secure.add_argument("--operator-rate", type=float, metavar="N", help="requests a second by one operator (200)")
    secure.add_argument(
        "--device-rate", type=float, metavar="N", help="requests a second by one device, beside polls (50)"
    )
    secure.add_argument("--certificate-days", type=float, metavar="D", help="life of a device's certificate (365)")
    secure.add_argument("--broker-files", metavar="FOLDER", help="keep the brokers' access lists and revocations there")
    secure.add_argument(
        "--broker-pid-file", action="append", metavar="FILE", help="a broker that is told of changes by SIGHUP"
    )
    secure.add_argument("--broker-reload", metavar="COMMAND", help="run after changes; words, no shell")


def authority_arguments(
    commands: Any,
) -> list[argparse.ArgumentParser]:
    """Add the command; return the parsers that need the options of the state folder."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "authority", help="the authority that makes certificates: show it, bring the DSO's own, certify brokers"
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="show|import|server|client")
    show = actions.add_parser("show", help="print what devices, operators and brokers must trust (PEM)")
    bring = actions.add_parser(
        "import", help="let an intermediate of the DSO's own authority sign, instead of one made here"
    )
    bring.add_argument(
        "--certificate", required=True, metavar="FILE", help="the intermediate, and those above it (PEM)"
    )
    bring.add_argument("--key", required=True, metavar="FILE", help="its key, without a password (PEM)")
    bring.add_argument("--anchors", metavar="FILE", help="the root, where --certificate does not hold it")
    bring.add_argument("--replace", action="store_true", help="although there is one already")
    server = actions.add_parser("server", help="make key and certificate for a broker or a proxy")
    server.add_argument("name", nargs="+", metavar="HOST", help="name or address it is reached by")
    client = actions.add_parser("client", help="make key and certificate for a program that reads at the brokers")
    client.add_argument("name", nargs=1, metavar="NAME")
    client.add_argument("--tenant", default="", metavar="NAME", help="hears this tenant's topics only")
    client.add_argument("--asks", action="store_true", help="may also send requests and commands, not to switches")
    client.add_argument("--operates", action="store_true", help="may also order switches")
    for one in (server, client):
        one.add_argument("--output", required=True, metavar="FILE", help="a new file, for key and certificate")
    return [show, bring, server, client]


def broker_arguments(commands: Any) -> argparse.ArgumentParser:
    """Add the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "broker-acl",
        help="print a broker's access list",
        description="Print who may say and hear what at a broker, as Mosquitto's acl_file has it. The broker needs "
        "use_identity_as_username true. `serve --broker-files FOLDER` keeps both lists up to date.",
    )
    parser.add_argument("--broker", choices=["grid", "data"], required=True)
    return parser
