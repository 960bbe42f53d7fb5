"""
The catalog's own configuration: a YAML file, then the environment, then the command line; later ones win.

Read once at the start, judged whole, then frozen.
"""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from algorithms.api.errors import Problem, ProblemsError, shortened
from device_catalog.contract.configuration_rules import problem_of_endpoint

ENVIRONMENT_PREFIX = "TRESMA_CATALOG_"


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
            fields[name] = (
                [part.strip() for part in text.split(",") if part.strip()] if name == "grid_brokers" else text
            )
    fields.update({name: value for name, value in options.items() if value not in (None, "", ())})
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
    return msgspec.structs.replace(
        config,
        state=str(state),
        database=config.database or f"sqlite:///{state / 'catalog.db'}",
        operator_token_file=config.operator_token_file or str(state / "operator.token"),
    )


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


def _problems_of(config: CatalogConfig) -> list[Problem]:
    problems = []
    if not 0 < config.port < 65536:
        problems.append(Problem("port", "a number from 1 to 65535", str(config.port)))
    if not 0 < config.suspicious_share <= 1:
        problems.append(Problem("suspicious_share", "a share above 0 and at most 1", str(config.suspicious_share)))
    if config.suspicious_minimum < 0:
        problems.append(Problem("suspicious_minimum", "0 or more", str(config.suspicious_minimum)))
    if config.recordings_budget < 2**24:
        problems.append(Problem("recordings_budget", f"{2**24} bytes or more", str(config.recordings_budget)))
    if not 0 < config.recordings_days < 1e5:
        problems.append(Problem("recordings_days", "a number of days above 0", str(config.recordings_days)))
    levels = ("debug", "info", "warning", "error")
    if config.log_level not in levels:
        problems.append(Problem("log_level", ", ".join(levels), shortened(config.log_level)))
    for index, endpoint in enumerate(config.grid_brokers):
        problem = problem_of_endpoint(endpoint, f"grid_brokers[{index}]")
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
