"""Settings: what is right is taken, what is wrong is said clearly."""

from __future__ import annotations

import inspect

import pytest

import sedna_metrics
from sedna_metrics.errors import SettingError
from sedna_metrics.settings import TABLE, PortRange, load, unknown_variables


def test_start_has_a_keyword_for_each_setting():
    parameters = inspect.signature(sedna_metrics.start).parameters
    assert [name for name in parameters if name not in ("registry", "environ", "clock")] == [
        each.name for each in TABLE
    ]
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters.values())


@pytest.mark.parametrize(
    ("given", "needed"),
    [
        ({"AUTH_PASSWORD": "x"}, "AUTH_USERNAME"),
        ({"AUTH_PASSWORD_FILE": "x"}, "AUTH_USERNAME"),
        ({"AUTH_USERNAME": "x"}, "AUTH_PASSWORD"),
        ({"TLS_KEY_FILE": "x"}, "TLS_CERT_FILE"),
        ({"TLS_CLIENT_CA_FILE": "x"}, "TLS_CERT_FILE"),
        ({"PUSHGATEWAY_USERNAME": "x"}, "PUSHGATEWAY_PASSWORD"),
        ({"PUSHGATEWAY_PASSWORD": "x"}, "PUSHGATEWAY_USERNAME"),
        ({"PUSHGATEWAY_KEY_FILE": "x"}, "PUSHGATEWAY_CERT_FILE"),
    ],
)
def test_half_of_a_pair_is_a_setting_error(given, needed):
    environ = {f"SEDNA_METRICS_{name}": value for name, value in given.items()}
    with pytest.raises(SettingError, match=f"SEDNA_METRICS_{needed}"):
        load(environ)


def test_a_user_name_that_looks_like_a_service_link_is_a_user_name():
    environ = {"SEDNA_METRICS_AUTH_USERNAME": "tcp://10.0.0.7:9470", "SEDNA_METRICS_AUTH_PASSWORD": "x"}
    assert load(environ).auth_username == "tcp://10.0.0.7:9470"


def test_defaults_are_usable():
    settings = load({})
    assert settings.port == PortRange(9470, 9499)
    assert settings.export == "auto"
    assert settings.buckets[0] == 0.001
    assert settings.buckets[-1] == 60


def test_an_argument_wins_over_its_variable():
    assert load({"SEDNA_METRICS_PORT": "9480"}, {"port": 9490}).port == PortRange(9490, 9490)


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("EXPORT", "sometimes", "auto, pull, push, both, off"),
        ("PORT", "many", "9470-9499"),
        ("PORT", "9499-9470", "rising"),
        ("PORT", "70000", "65535"),
        ("PORT", "-1", "9470-9499"),
        ("PORT", "²", "9470-9499"),
        ("PUSH_INTERVAL", "0", "above 0"),
        ("PUSH_INTERVAL", "nan", "above 0"),
        ("PUSH_INTERVAL", "inf", "above 0"),
        ("PUSHGATEWAY_URL", "pushgateway:9091", "http://pushgateway"),
        ("PUSHGATEWAY_URL", "http://host:port", "http://pushgateway"),
        ("LOG", "xml", "json, text, off"),
        ("LOG_LEVEL", "LOUD", "DEBUG"),
        ("BUCKETS", "1,0.5", "rising"),
        ("BUCKETS", "", None),
        ("BUCKETS", "a", "rising"),
        ("MAX_SERIES", "0", "1 or more"),
        ("MAX_SERIES", "1.5", "1 or more"),
    ],
)
def test_a_wrong_value_is_named_with_what_to_write_instead(variable, value, says):
    if says is None:
        load({f"SEDNA_METRICS_{variable}": value})  # empty is as good as not set
        return
    with pytest.raises(SettingError, match=says) as caught:
        load({f"SEDNA_METRICS_{variable}": value})
    assert f"SEDNA_METRICS_{variable}" in str(caught.value)
    assert value in str(caught.value)


def test_an_unknown_argument_is_named_with_the_nearest():
    with pytest.raises(SettingError, match="Did you mean port"):
        load({}, {"prot": 1})


def test_a_service_called_sedna_metrics_does_not_break_its_pods():
    links = {
        "SEDNA_METRICS_PORT": "tcp://10.0.0.7:9470",
        "SEDNA_METRICS_SERVICE_HOST": "10.0.0.7",
        "SEDNA_METRICS_PORT_9470_TCP": "tcp://10.0.0.7:9470",
    }
    assert load(links).port == PortRange(9470, 9499)
    assert unknown_variables(links) == []


def test_a_misspelt_variable_is_noticed():
    (warning,) = unknown_variables({"SEDNA_METRICS_PUSH_INTERVALL": "3"})
    assert "SEDNA_METRICS_PUSH_INTERVAL?" in warning


def test_sednas_own_log_level_is_honoured_and_never_breaks_a_worker():
    assert load({"LOG_LEVEL": "debug"}).log_level == "DEBUG"
    assert load({"LOG_LEVEL": "debug", "SEDNA_METRICS_LOG_LEVEL": "ERROR"}).log_level == "ERROR"
    assert load({"LOG_LEVEL": "whatever"}).log_level == "INFO"
