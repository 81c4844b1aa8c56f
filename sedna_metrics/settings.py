"""Settings: one table, from which the environment is read, arguments are checked and the docs are made.

Each setting is an environment variable ``SEDNA_METRICS_<NAME>`` and an argument of :func:`sedna_metrics.start`; the
argument wins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple
from urllib.parse import urlsplit

from sedna_metrics._urls import strip_secrets
from sedna_metrics.errors import SettingError

PREFIX = "SEDNA_METRICS_"
PARENT_VARIABLE = PREFIX + "PARENT"
"""Not a setting: a worker's main process tells its children by it where it listens."""

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

#: 1-2-5 from one millisecond to a minute: a cloud inference of Sedna's may retry for more than ten seconds.
DEFAULT_BUCKETS: Tuple[float, ...] = (
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 60.0,
)  # fmt: skip


@dataclass(frozen=True)
class PortRange:
    """The ports to try, in order; a range of 0 to 0 asks the system for any free one."""

    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


class Settings(NamedTuple):
    """What ``start()`` goes by. Field names are the lower-case names of :data:`TABLE`."""

    export: str
    host: str
    port: PortRange
    pushgateway_url: str
    push_interval: float
    push_timeout: float
    push_deadline: float
    pushgateway_username: str
    pushgateway_password: str
    pushgateway_password_file: str
    pushgateway_bearer_token: str
    pushgateway_bearer_token_file: str
    pushgateway_ca_file: str
    pushgateway_cert_file: str
    pushgateway_key_file: str
    spool_dir: str
    spool_max_bytes: int
    spool_max_age: float
    sd_dir: str
    sd_address: str
    tls_cert_file: str
    tls_key_file: str
    tls_client_ca_file: str
    auth_username: str
    auth_password: str
    auth_password_file: str
    log: str
    log_level: str
    buckets: Tuple[float, ...]
    max_series: int


@dataclass(frozen=True)
class Setting:
    """One row of the table."""

    name: str
    kind: str
    default: str
    doc: str
    parse: Callable[[str], Any]
    secret: bool = False
    """Whether the value is not to be shown to anybody."""

    @property
    def variable(self) -> str:
        """Name of the environment variable."""
        return PREFIX + self.name.upper()


def _choice(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        value = text.strip().lower()
        if value not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return value

    return parse


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ValueError("must be a number of seconds above 0, such as 15 or 0.5")
    return value


def _count(text: str) -> int:
    if not text.strip().isdecimal() or int(text) < 1:
        raise ValueError("must be a whole number of 1 or more")
    return int(text)


def _port(text: str) -> PortRange:
    parts = text.strip().split("-")
    if len(parts) not in (1, 2) or not all(part.strip().isdecimal() and len(part) < 8 for part in parts):
        raise ValueError("must be a port such as 9470 or a range such as 9470-9499")
    first, last = int(parts[0]), int(parts[-1])
    if last > 65535 or first > last or (first == 0 and last != 0):
        raise ValueError("must be a port from 0 to 65535 or a range that rises within 1 to 65535")
    return PortRange(first, last)


def _url(text: str) -> str:
    value = text.strip().rstrip("/")
    if not value:
        return ""
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018 - raises ValueError where the port is no number
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must be a URL such as http://pushgateway.monitoring:9091")
    return value


def _level(text: str) -> str:
    value = text.strip().upper()
    if value not in _LEVELS:
        raise ValueError(f"must be one of {', '.join(_LEVELS)}")
    return value


def _buckets(text: str) -> Tuple[float, ...]:
    try:
        bounds = [float(part) for part in text.split(",")]
    except ValueError:
        bounds = []
    bounds = [bound for bound in bounds if bound != math.inf]  # +Inf is always there
    rising = all(low < high for low, high in zip(bounds, bounds[1:]))
    if not bounds or not rising or not all(0 < bound < math.inf for bound in bounds):
        raise ValueError("must be upper bounds in seconds that rise, such as 0.01,0.1,1,10")
    return tuple(bounds)


TABLE: Tuple[Setting, ...] = (
    Setting(
        "export", "auto, pull, push, both or off", "auto",
        "How metrics leave the worker; auto pushes from train, eval and aggregation workers that know a Pushgateway, "
        "and is scraped otherwise.",
        _choice("auto", "pull", "push", "both", "off"),
    ),
    Setting("host", "address", "0.0.0.0", "Address that /metrics listens on; :: for IPv6.", str.strip),
    Setting(
        "port", "port or range", "9470-9499",
        "Ports to try for /metrics, in order; 0 takes any free one. A tcp:// value, which Kubernetes injects for a "
        "Service called sedna-metrics, is ignored.",
        _port,
    ),
    Setting("pushgateway_url", "URL", "", "The Pushgateway; none, no push.", _url),
    Setting("push_interval", "seconds", "15", "Time between two pushes.", _seconds),
    Setting("push_timeout", "seconds", "5", "Time that one push may take.", _seconds),
    Setting("push_deadline", "seconds", "8", "Time that the last push may take as the worker ends.", _seconds),
    Setting("pushgateway_username", "name", "", "Basic auth at the Pushgateway.", str.strip),
    Setting("pushgateway_password", "password", "", "Its password.", str.strip, secret=True),
    Setting("pushgateway_password_file", "file", "", "A file with its password, read at each push.", str.strip),
    Setting("pushgateway_bearer_token", "token", "", "A bearer token for the Pushgateway.", str.strip, secret=True),
    Setting("pushgateway_bearer_token_file", "file", "", "A file with that token, read at each push.", str.strip),
    Setting("pushgateway_ca_file", "file", "", "Certificates that the Pushgateway's is checked against; the system's "
            "where it is not given.", str.strip),
    Setting("pushgateway_cert_file", "file", "", "A client certificate for the Pushgateway.", str.strip),
    Setting("pushgateway_key_file", "file", "", "Its key, where the certificate's file does not hold it.", str.strip),
    Setting("spool_dir", "folder or off", "auto",
            "Where undelivered pushes wait; auto is sedna-metrics-UID in the folder for temporary files. "
            "In a container, mount a folder of the node.", str.strip),
    Setting("spool_max_bytes", "bytes", "16777216", "Most that the spool may take.", _count),
    Setting("spool_max_age", "seconds", "604800", "Time after which a spooled push is dropped; the default is a week.",
            _seconds),
    Setting("sd_dir", "folder", "", "Folder for the worker's file_sd file; none is written where it is not given.",
            str.strip),
    Setting("sd_address", "address", "", "Address that stands in that file; POD_IP where it is not given, else HOST, "
            "else 127.0.0.1.", str.strip),
    Setting("tls_cert_file", "file", "", "Certificate of /metrics, which is served by TLS then.", str.strip),
    Setting("tls_key_file", "file", "", "Its key, where the certificate's file does not hold it.", str.strip),
    Setting("tls_client_ca_file", "file", "", "Certificates that a scraper's client certificate is checked against.",
            str.strip),
    Setting("auth_username", "name", "", "Basic auth of /metrics; /healthz stays open.", str.strip),
    Setting("auth_password", "password", "", "Its password.", str.strip, secret=True),
    Setting("auth_password_file", "file", "", "A file with its password, read as the worker starts.", str.strip),
    Setting("log", "json, text or off", "json", "Format of the worker's log on stdout; off leaves logging alone.",
            _choice("json", "text", "off")),
    Setting("log_level", "level", "INFO", "Lowest level that is logged; Sedna's own LOG_LEVEL is honoured.", _level),
    Setting("buckets", "seconds, comma-separated", ",".join(f"{bound:g}" for bound in DEFAULT_BUCKETS),
            "Upper bounds of the duration histograms.", _buckets),
    Setting("max_series", "count", "200",
            "Most label sets that one metric may have; further ones are folded into the label value other.", _count),
)  # fmt: skip

_BY_NAME = {setting.name: setting for setting in TABLE}


def load(environ: Mapping[str, str], arguments: Optional[Mapping[str, object]] = None) -> Settings:
    """Read the settings.

    Args:
        environ: the process's environment.
        arguments: what was handed to ``start()``; ``None`` values count as not given.

    Raises:
        SettingError: a value cannot be used, or an argument has no such name.
    """
    given = {name: value for name, value in (arguments or {}).items() if value is not None}
    for name in given:
        if name not in _BY_NAME:
            raise SettingError(f"start() takes no setting {name!r}.{_suggest(name, list(_BY_NAME))}")
    values: Dict[str, Any] = {}
    for setting in TABLE:
        text, source = _source(setting, environ, given)
        try:
            values[setting.name] = setting.parse(text)
        except ValueError as why:
            shown = "hidden" if setting.secret or "@" in text else f"{text!r:.200}"
            raise SettingError(f"{source} is {shown}, but {why}") from None
    return Settings(**values)


def shown(environ: Mapping[str, str]) -> List[Tuple[str, str, str]]:
    """What is set in the environment: name, value and the variable that it comes from. Secrets are not shown."""
    found = []
    for setting in TABLE:
        text, source = _source(setting, environ, {})
        if source in environ:
            value = strip_secrets(text) if setting.kind == "URL" or "@" in text else text
            found.append((setting.name, "hidden" if setting.secret else value, source))
    return found


def unknown_variables(environ: Mapping[str, str]) -> List[str]:
    """Variables that begin as ours do and are none, each with the name that was probably meant."""
    known = [setting.variable for setting in TABLE]
    return [
        f"{name} is no setting of sedna-metrics.{_suggest(name, known)}"
        for name in sorted(environ)
        if name.startswith(PREFIX)
        and name not in (*known, PARENT_VARIABLE)
        and not _is_service_link(name, environ[name])
    ]


def _source(setting: Setting, environ: Mapping[str, str], given: Mapping[str, object]) -> Tuple[str, str]:
    if setting.name in given:
        return _as_text(given[setting.name]), f"start()'s {setting.name}"
    text = environ.get(setting.variable, "")
    if text and not _is_service_link(setting.variable, text):
        return text, setting.variable
    if setting.name == "log_level" and environ.get("LOG_LEVEL", "").strip().upper() in _LEVELS:
        return environ["LOG_LEVEL"], "LOG_LEVEL"  # Sedna's own; what it holds wrongly is not ours to refuse
    if setting.name == "sd_address" and environ.get("POD_IP"):
        return environ["POD_IP"], "POD_IP"  # as Kubernetes' downward API is usually asked to call it
    return setting.default, f"the default of {setting.name}"


def _as_text(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ",".join(str(item) for item in value)
    return str(value)


def _is_service_link(name: str, value: str) -> bool:
    # For every Service of a namespace, Kubernetes gives its pods variables in Docker's link format: one that is called
    # "sedna-metrics" gives SEDNA_METRICS_PORT=tcp://10.0.0.7:9470, SEDNA_METRICS_SERVICE_HOST and the like.
    return name.startswith((PREFIX + "SERVICE_", PREFIX + "PORT_")) or value.startswith(("tcp://", "udp://"))


def _suggest(name: str, known: List[str]) -> str:
    import difflib  # only somebody who mistyped a name pays for it

    close = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {close[0]}?" if close else f" There are: {', '.join(known)}."
