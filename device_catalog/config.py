"""
The catalog's own configuration: a YAML file, then the environment, then the command line; later ones win.

Read once at the start, judged whole, then frozen.
"""

import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from algorithms.api.errors import Problem, ProblemsError, shortened
from device_catalog.contract.configuration_rules import problem_of_endpoint

ENVIRONMENT_PREFIX = "TRESMA_CATALOG_"


HISTORY_DAYS = {
    "frames": 7.0,
    "states": 31.0,
    "energy": 800.0,
    "quality": 800.0,
    "events": 800.0,
    "results": 90.0,
    "minutes": 400.0,
}
"""How long the history keeps what, unless told otherwise [d]."""

_host_name = re.compile(r"[A-Za-z0-9_.:*-]{1,253}")
_brokers = ("grid_brokers", "data_brokers")
_lists = (*_brokers, "names", "proxies", "broker_pid_files")


class ConfigError(ProblemsError):
    """The catalog's configuration cannot be used; carries every problem found."""


class CatalogConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    How one catalog runs.

    Attributes
    ----------
    host : str
        Address to listen on; loopback unless a proxy in front ends TLS elsewhere.
    port : int
    state : str
        Folder for the database and the operator's token, where these are not named.
    database : str
        ``sqlite:///PATH`` or ``postgresql://…``; a file in `state` where empty.
    operator_token_file : str
        File with the operator's token, made at the first start; in `state` where empty.
    grid_brokers : tuple of str
        Endpoints in order of preference; none where nobody is to be told.
    tenant : str
        The tenant on whose topic the catalog leaves its last will.
    suspicious_share : float
        Share of the fleet that may fall silent at once before the catalog suspects itself [1].
    suspicious_minimum : int
        So many silent devices are believed at once, whatever the share.
    recordings_budget : int
        Room for the files of recordings, which are kept in `state` [bytes].
    recordings_days : float
        How long they are kept [d].
    director_key_file : str
        The key that signs what devices should do, made at the first start; in `state` where empty. Processes that serve
        one fleet share it.
    desired_days : float
        How long such a signature counts [d]; it is made anew when half of that is over.
    data_brokers : tuple of str
        Endpoints in order of preference of what the history keeps.
    history_database : str
        As `database`; a file of its own in `state` where empty, or `database` where that is PostgreSQL.
    history_budget : int
        Room for the history [bytes].
    history_days : dict
        How long each class is kept [d]: ``frames``, ``states``, ``energy``, ``quality``, ``events``, ``results``, and
        ``minutes`` for the one-minute sums; what is not named keeps its default.
    line_protocol : str
        Where what is kept is posted as well, in the line protocol; nowhere where empty.
    line_protocol_token_file : str
        File with the token for it.
    names : tuple of str
        Names and addresses the catalog is reached by, for the certificate it makes itself.
    certificate, key : str
        Files of the server's certificate and key, where the DSO makes them; both or neither.
    tls : bool
        Whether to speak TLS on loopback too; elsewhere it is spoken unless `insecure`.
    insecure : bool
        Whether to speak plain HTTP to other machines.
    proxies : tuple of str
        Addresses of proxies that end TLS in front: their word on clients' certificates and addresses is taken.
    certificate_days : float
        How long a device's certificate lasts [d]; it is renewed after two thirds.
    broker_files : str
        Folder where the brokers' access lists and the list of revoked certificates are kept up to date; none where
        empty.
    broker_pid_files : tuple of str
        Brokers that are told to read these files again (SIGHUP), by the file with their process id.
    broker_reload : str
        Command that tells others; words separated by blanks, no shell.
    operator_rate, device_rate : float
        Requests a second that one operator, or one device, may make on average besides polls [1/s].
    log_level : str
    """

    host: str = "127.0.0.1"
    port: int = 8080
    state: str = ""
    database: str = ""
    operator_token_file: str = ""
    grid_brokers: tuple[str, ...] = ()
    tenant: str = "default"
    suspicious_share: float = 0.1
    suspicious_minimum: int = 50
    recordings_budget: int = 10 * 2**30
    recordings_days: float = 400.0
    director_key_file: str = ""
    desired_days: float = 14.0
    data_brokers: tuple[str, ...] = ()
    history_database: str = ""
    history_budget: int = 50 * 2**30
    history_days: dict[str, float] = msgspec.field(default_factory=HISTORY_DAYS.copy)
    line_protocol: str = ""
    line_protocol_token_file: str = ""
    names: tuple[str, ...] = ()
    certificate: str = ""
    key: str = ""
    tls: bool = False
    insecure: bool = False
    proxies: tuple[str, ...] = ()
    certificate_days: float = 365.0
    broker_files: str = ""
    broker_pid_files: tuple[str, ...] = ()
    broker_reload: str = ""
    operator_rate: float = 200.0
    device_rate: float = 50.0
    log_level: str = "info"


def read_config(file: Path | None, environment: Mapping[str, str], options: Mapping[str, Any]) -> CatalogConfig:
    """
    Read the configuration.

    Parameters
    ----------
    file : Path or None
    environment : mapping
        Variables such as ``TRESMA_CATALOG_PORT``; lists are separated by commas.
    options : mapping
        From the command line; None and empty ones are left out.

    Raises
    ------
    ConfigError
        With every problem found.
    """
    fields: dict[str, Any] = {}
    if file is not None:
        fields = _from_file(file)
    names = CatalogConfig.__struct_fields__
    for name in names:
        text = environment.get(ENVIRONMENT_PREFIX + name.upper())
        if text is not None:
            fields[name] = _from_text(name, text)
    fields.update({name: value for name, value in options.items() if value not in (None, "", (), {})})
    if isinstance(fields.get("history_days"), dict):
        fields["history_days"] = {**HISTORY_DAYS, **fields["history_days"]}
    problems = [
        Problem(shortened(str(name), 40), ", ".join(names), "an unknown setting", "remove it")
        for name in fields
        if name not in names
    ]
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(CatalogConfig):
        if field.name in fields:
            try:
                values[field.name] = msgspec.convert(fields[field.name], field.type, strict=False)
            except msgspec.ValidationError as error:
                problems.append(Problem(field.name, str(error), shortened(fields[field.name])))
    config = CatalogConfig(**values)
    problems += _problems_of(config)
    if problems:
        raise ConfigError(problems)
    state = Path(config.state) if config.state else _state_folder(environment)
    database = config.database or f"sqlite:///{state / 'catalog.db'}"
    beside = f"sqlite:///{state / 'history.db'}" if database.startswith("sqlite:") else database
    return msgspec.structs.replace(
        config,
        state=str(state),
        database=database,
        history_database=config.history_database or beside,
        operator_token_file=config.operator_token_file or str(state / "operator.token"),
        director_key_file=config.director_key_file or str(state / "director.key"),
    )


def _from_text(name: str, text: str) -> Any:
    """Read a variable: lists are separated by commas, classes and their days joined by =."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if name == "history_days":
        return dict(part.partition("=")[::2] for part in parts)
    return parts if name in _lists else text


def _from_file(file: Path) -> dict[str, Any]:
    where = str(file)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        raise ConfigError([Problem(where, "a file that can be read", reason)]) from error
    if len(text) > 100_000:
        raise ConfigError([Problem(where, "at most 100000 characters", f"{len(text)}")])
    try:
        fields = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ConfigError([Problem(where, "YAML", shortened(str(error), 200))]) from error
    if not isinstance(fields, dict):
        raise ConfigError([Problem(where, "lines such as port: 8080", shortened(fields))])
    return fields


def _problems_of_history(config: CatalogConfig) -> list[Problem]:
    problems = []
    if config.history_budget < 2**24:
        problems.append(Problem("history_budget", f"{2**24} bytes or more", str(config.history_budget)))
    for name, days in config.history_days.items():
        if name not in HISTORY_DAYS:
            problems.append(Problem(f"history_days.{shortened(name, 40)}", ", ".join(HISTORY_DAYS), "an unknown class"))
        elif not 0 < days < 1e5:
            problems.append(Problem(f"history_days.{name}", "a number of days above 0", str(days)))
    if config.line_protocol and not config.line_protocol.startswith(("http://", "https://")):
        problems.append(Problem("line_protocol", "http://… or https://…", "another address"))
    return problems


def _problems_of_days(config: CatalogConfig) -> list[Problem]:
    days = {name: getattr(config, name) for name in ("recordings_days", "desired_days")}
    wrong = {name: value for name, value in days.items() if not 1e-5 < value < 1e5}
    return [Problem(name, "a number of days above 0", str(value)) for name, value in wrong.items()]


def _problems_of_access(config: CatalogConfig) -> list[Problem]:
    problems = []
    if bool(config.certificate) != bool(config.key):
        problems.append(Problem("certificate, key", "both files, or neither", "one of them"))
    if not 0.001 <= config.certificate_days < 1e4:
        problems.append(Problem("certificate_days", "a number of days above 0", str(config.certificate_days)))
    problems += [
        Problem(name, "requests a second, above 0", str(getattr(config, name)))
        for name in ("operator_rate", "device_rate")
        if not 0 < getattr(config, name) < 1e6
    ]
    problems += [
        Problem(f"names[{index}]", "a host's name or address", shortened(name))
        for index, name in enumerate(config.names)
        if not _host_name.fullmatch(name)
    ]
    return problems


def _problems_of(config: CatalogConfig) -> list[Problem]:
    problems = [*_problems_of_history(config), *_problems_of_days(config)]
    if not 0 < config.port < 65536:
        problems.append(Problem("port", "a number from 1 to 65535", str(config.port)))
    if not 0 < config.suspicious_share <= 1:
        problems.append(Problem("suspicious_share", "a share above 0 and at most 1", str(config.suspicious_share)))
    if config.suspicious_minimum < 0:
        problems.append(Problem("suspicious_minimum", "0 or more", str(config.suspicious_minimum)))
    if config.recordings_budget < 2**24:
        problems.append(Problem("recordings_budget", f"{2**24} bytes or more", str(config.recordings_budget)))
    levels = ("debug", "info", "warning", "error")
    if config.log_level not in levels:
        problems.append(Problem("log_level", ", ".join(levels), shortened(config.log_level)))
    problems += _problems_of_access(config)
    for name in _brokers:
        for index, endpoint in enumerate(getattr(config, name)):
            problem = problem_of_endpoint(endpoint, f"{name}[{index}]")
            if problem:
                problems.append(problem)
    return problems


def _state_folder(environment: Mapping[str, str]) -> Path:
    if environment.get("STATE_DIRECTORY"):  # the service manager's
        return Path(environment["STATE_DIRECTORY"].split(":")[0])
    if os.geteuid() == 0:
        return Path("/var/lib/tresma-catalog")
    base = environment.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "tresma-catalog"


def operator_token(file: Path) -> bytes:
    """
    Read the operator's token, or make one at the first start.

    Raises
    ------
    ConfigError
        When the file cannot be read or made, or holds no usable token.
    """
    try:
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            temporary = file.with_name(file.name + ".new")
            temporary.unlink(missing_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as stream:
                stream.write(secrets.token_urlsafe(32) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
            temporary.rename(file)
        token = file.read_bytes()[:1000].strip()
    except OSError as error:
        problem = Problem("operator_token_file", "a file that can be read", f"{file}: {error.strerror}")
        raise ConfigError([problem]) from error
    if len(token) < 16:
        problem = Problem("operator_token_file", "a token of at least 16 characters", f"{len(token)} in {file}")
        raise ConfigError([problem])
    return token
