"""Settings of the library: one class whose attributes hold the default, the parser and the description.

Each setting is an environment variable ``SEDNA_METRICS_<NAME>`` and an argument of :func:`sedna_metrics.start`; the
argument wins.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, NoReturn, Optional, Tuple
from urllib.parse import urlsplit

from sedna_metrics._urls import strip_secrets
from sedna_metrics.errors import SettingError

PREFIX = "SEDNA_METRICS_"
PARENT_VARIABLE = PREFIX + "PARENT"
"""Not a setting: a worker's main process passes the folder for snapshots to its child processes."""


class PortRange(NamedTuple):
    """The ports to try, in order; 0 to 0 asks the system for any free one."""

    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


def _choice(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        for value in allowed:
            if text.strip().lower() == value.lower():
                return value
        raise ValueError(f"must be one of {', '.join(allowed)}")

    return parse


def _seconds(text: str) -> float:
    with suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise ValueError("must be a number of seconds above 0, such as 15 or 0.5")


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
        raise ValueError("must be a port from 0 to 65535 or a rising range within 1 to 65535")
    return PortRange(first, last)


def _url(text: str) -> str:
    value = text.strip().rstrip("/")
    if not value:
        return ""
    with suppress(ValueError):
        parts = urlsplit(value)
        parts.port  # noqa: B018 - raises ValueError for an invalid port
        if parts.scheme in ("http", "https") and parts.hostname and not (parts.query or parts.fragment):
            return value
    raise ValueError("must be a URL such as http://pushgateway.monitoring:9091")


def _buckets(text: str) -> Tuple[float, ...]:
    with suppress(ValueError):
        bounds = tuple(bound for bound in map(float, text.split(",")) if bound != math.inf)  # +Inf is always there
        if bounds and all(low < high < math.inf for low, high in zip((0.0, *bounds), bounds)):
            return bounds
    raise ValueError("must be rising upper bounds in seconds, such as 0.01,0.1,1,10")


class Setting(NamedTuple):
    """Description of one setting, for the reference and the command line."""

    default: str
    """As the environment variable would have it."""
    kind: str
    """What the value is."""
    doc: str
    parse: Callable[[str], Any] = str.strip
    """Makes a value of the text; raises ValueError with what it takes."""
    secret: bool = False
    """Never show the value."""
    fallback: str = ""
    """Another variable, read if ours is not set."""
    name: str = ""

    @property
    def variable(self) -> str:
        return _variable(self.name)


_setting: Any = Setting  # the attributes of Settings have the types of the values


class Settings:
    """Settings of one worker, which do not change. ``repr()`` shows none, because some are secret."""

    # fmt: off
    export: str = _setting(
        "auto", "auto, pull, push, both or off", "How metrics leave the worker. auto: train, eval and aggregation "
        "workers push if a Pushgateway is set; all others are scraped.",
        _choice("auto", "pull", "push", "both", "off"))
    host: str = _setting("0.0.0.0", "address", "Address that /metrics listens on; :: for IPv6.")
    port: PortRange = _setting(
        "9470-9499", "port or range", "Ports to try for /metrics, in order; 0 takes any free port. A tcp:// value, "
        "which Kubernetes sets for a Service called sedna-metrics, is ignored.", _port)
    process_metrics: str = _setting(
        "auto", "auto, on or off", "CPU, memory and file descriptors of the process (process_*, python_info). auto: on "
        "for scraped workers, off for those that only push.", _choice("auto", "on", "off"))
    pushgateway_url: str = _setting("", "URL", "Pushgateway URL; empty disables pushing.", _url)
    push_interval: float = _setting("15", "seconds", "Time between two pushes.", _seconds)
    push_timeout: float = _setting("5", "seconds", "Time limit of one push.", _seconds)
    push_deadline: float = _setting("8", "seconds", "Time limit of the last push, when the worker ends.", _seconds)
    pushgateway_username: str = _setting("", "name", "User name for basic auth at the Pushgateway.")
    pushgateway_password: str = _setting("", "password", "Password for basic auth at the Pushgateway.", secret=True)
    pushgateway_password_file: str = _setting("", "file", "File with that password, read at each push.")
    pushgateway_bearer_token: str = _setting("", "token", "Bearer token for the Pushgateway.", secret=True)
    pushgateway_bearer_token_file: str = _setting("", "file", "File with that token, read at each push.")
    pushgateway_ca_file: str = _setting(
        "", "file", "CA certificates for the Pushgateway's certificate; empty takes the system's.")
    pushgateway_cert_file: str = _setting("", "file", "Client certificate for the Pushgateway.")
    pushgateway_key_file: str = _setting("", "file", "Its key, if it is not in the certificate's file.")
    spool_dir: str = _setting(
        "auto", "folder or off", "Folder for undelivered pushes. auto: sedna-metrics-UID in the folder for temporary "
        "files. In a container, mount a host directory; otherwise the spool is lost with the container.")
    spool_max_bytes: int = _setting("16777216", "bytes", "Size limit of the spool.", _count)
    spool_max_age: float = _setting("604800", "seconds", "Age limit of spooled pushes (a week by default).", _seconds)
    sd_dir: str = _setting("", "folder", "Folder for the worker's file_sd file; empty writes none.")
    sd_address: str = _setting(
        "", "address", "Address in that file; empty takes POD_IP, else HOST, else 127.0.0.1.", fallback="POD_IP")
    tls_cert_file: str = _setting("", "file", "Certificate of /metrics; switches TLS on.")
    tls_key_file: str = _setting("", "file", "Its key, if it is not in the certificate's file.")
    tls_client_ca_file: str = _setting("", "file", "CA certificates; scrapers must then show a client certificate.")
    auth_username: str = _setting("", "name", "User name for basic auth of /metrics; /healthz stays open.")
    auth_password: str = _setting("", "password", "Password for basic auth of /metrics.", secret=True)
    auth_password_file: str = _setting("", "file", "File with that password, read when the worker starts.")
    log: str = _setting(
        "json", "json, text or off", "Format of the log on stdout; off leaves logging as it is.",
        _choice("json", "text", "off"))
    log_level: str = _setting(
        "INFO", "level", "Lowest level that is logged; Sedna's LOG_LEVEL counts if this is not set.",
        _choice("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"), fallback="LOG_LEVEL")
    # 1-2-5 from 1 ms to 60 s: a cloud inference may retry for over 10 s.
    buckets: Tuple[float, ...] = _setting(
        "0.001,0.002,0.005,0.01,0.02,0.05,0.1,0.2,0.5,1,2,5,10,20,50,60", "seconds, comma-separated",
        "Upper bounds of the inference duration histograms.", _buckets)
    max_series: int = _setting(
        "200", "count", 'Label sets per metric; further ones are counted under the label value "other".', _count)
    # fmt: on

    def __init__(self, values: Mapping[str, Any]) -> None:
        """If half of a pair is set, raise SettingError."""
        vars(self).update(values)
        for given, needed in _PAIRS:
            if values[given] and not any(values[name] for name in needed):
                names = " or ".join(_variable(name) for name in needed)
                raise SettingError(f"{_variable(given)} is set, but it needs {names} as well")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{name} cannot be set: settings do not change")


#: A setting, and those of which it needs one.
_PAIRS: Tuple[Tuple[str, Tuple[str, ...]], ...] = (
    ("auth_username", ("auth_password", "auth_password_file")),
    ("auth_password", ("auth_username",)),
    ("auth_password_file", ("auth_username",)),
    ("tls_key_file", ("tls_cert_file",)),
    ("tls_client_ca_file", ("tls_cert_file",)),
    ("pushgateway_username", ("pushgateway_password", "pushgateway_password_file")),
    ("pushgateway_password", ("pushgateway_username",)),
    ("pushgateway_password_file", ("pushgateway_username",)),
    ("pushgateway_key_file", ("pushgateway_cert_file",)),
)


TABLE: Tuple[Setting, ...] = tuple(
    each._replace(name=name) for name, each in vars(Settings).items() if isinstance(each, Setting)
)


def load(environ: Mapping[str, str], arguments: Optional[Mapping[str, object]] = None) -> Settings:
    """Read the settings from the environment and the arguments of ``start()``; those that are ``None`` do not count."""
    given = {name: value for name, value in (arguments or {}).items() if value is not None}
    names = [setting.name for setting in TABLE]
    for name in given:
        if name not in names:
            raise SettingError(f"there is no setting {name!r}.{_suggest(name, names)}")
    values: Dict[str, Any] = {}
    for setting in TABLE:
        text, source = _source(setting, environ, given)
        try:
            values[setting.name] = setting.parse(text)
        except ValueError as why:
            shown = "hidden" if setting.secret or "@" in text else f"{text!r:.200}"
            raise SettingError(f"{source} is {shown}, but {why}") from None
    return Settings(values)


def shown(environ: Mapping[str, str]) -> List[Tuple[str, str, str]]:
    """What the environment sets: name, value and variable. Secrets are hidden."""
    found = []
    for setting in TABLE:
        text, source = _source(setting, environ, {})
        if source in environ:
            value = strip_secrets(text) if setting.kind == "URL" or "@" in text else text
            found.append((setting.name, "hidden" if setting.secret else value, source))
    return found


def unknown_variables(environ: Mapping[str, str]) -> List[str]:
    """One message for each variable that starts with SEDNA_METRICS_ and is not a setting."""
    known = [setting.variable for setting in TABLE]
    return [
        f"{name} is not a setting of sedna-metrics.{_suggest(name, known)}"
        for name in sorted(environ)
        if name.startswith(PREFIX)
        and name not in (*known, PARENT_VARIABLE)
        # Docker's link format, set by Kubernetes for a Service called sedna-metrics.
        and not name.startswith((PREFIX + "SERVICE_", PREFIX + "PORT_"))
    ]


def _source(setting: Setting, environ: Mapping[str, str], given: Mapping[str, object]) -> Tuple[str, str]:
    """The setting's text, and where it comes from."""
    if setting.name in given:
        value = given[setting.name]
        text = ",".join(str(item) for item in value) if isinstance(value, (list, tuple)) else str(value)
        return text, f"start()'s {setting.name}"
    text = environ.get(setting.variable, "")
    is_service_link = setting.name == "port" and text.startswith(("tcp://", "udp://"))
    if text and not is_service_link:
        return text, setting.variable
    text = environ.get(setting.fallback, "")
    with suppress(ValueError):  # an invalid value in somebody else's variable is not our error
        if text and setting.parse(text):
            return text, setting.fallback
    return setting.default, f"the default of {setting.name}"


def _variable(name: str) -> str:
    return PREFIX + name.upper()


def _suggest(name: str, known: List[str]) -> str:
    import difflib  # only needed after a mistake

    close = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {close[0]}?" if close else f" There are: {', '.join(known)}."
