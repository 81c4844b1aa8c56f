"""The worker's log: what a line holds."""

from __future__ import annotations

import asyncio
import collections
import contextvars
import datetime
import decimal
import enum
import importlib.util
import io
import itertools
import json
import logging
import logging.config
import math
import re
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy
import pytest
from hypothesis import given, settings, strategies as st

from sedna_metrics import log_context
from sedna_metrics.catalogue import log as contract
from sedna_metrics.logs import JsonFormatter, _formatters, bind, configure_logging

IDENTITY = {"task": "digits", "worker": "edgeworker-1"}
LOGGER = logging.getLogger("mine")


@pytest.fixture
def stream():
    return io.StringIO()


@pytest.fixture
def lines(stream):
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def log(stream):
    with configure_logging("json", "INFO", IDENTITY, stream) as log:
        yield log
        assert log.dropped() == 0


@pytest.fixture(params=["json", "orjson"])
def _each_encoder(request, mocker):
    if request.param == "json":
        mocker.patch.object(_formatters, "orjson", None)
    else:
        pytest.importorskip("orjson")


def strict(line):
    """What a parser reads that knows JSON and nothing more, and sees a name twice."""

    def unique(pairs):
        assert len(dict(pairs)) == len(pairs), f"a name twice: {pairs}"
        return dict(pairs)

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(line, parse_constant=refuse, object_pairs_hook=unique)


def formatted(**attributes):
    record = logging.makeLogRecord({"name": "mine", "levelname": "INFO", "levelno": 20, **attributes})
    line = JsonFormatter(identity=IDENTITY).format(record)
    assert "\n" not in line
    assert len(line.encode()) < contract.MAX_LINE_BYTES
    return strict(line)


@pytest.mark.usefixtures("log")
def test_a_record_is_one_object_with_identity_context_and_extras(lines):
    with log_context(iteration=3):
        LOGGER.info("hello %s", "you", extra={"frames": 5})
    (record,) = lines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", record.pop("timestamp"))
    assert record == {
        "level": "INFO",
        "logger": "mine",
        "message": "hello you",
        "task": "digits",
        "worker": "edgeworker-1",
        "iteration": 3,
        "frames": 5,
    }


@pytest.mark.parametrize(
    ("created", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000000Z"),
        (1_700_000_000.25, "2023-11-14T22:13:20.250000Z"),
        (1_700_000_000.999_999_5, "2023-11-14T22:13:20.999999Z"),
        (-0.5, "1969-12-31T23:59:59.500000Z"),
    ],
)
def test_the_time_is_rfc_3339_in_utc(created, text):
    assert formatted(created=created)["timestamp"] == text


def test_the_microseconds_are_each_records_own():
    formatter = JsonFormatter(identity={})
    stamps = [
        json.loads(formatter.format(logging.makeLogRecord({"created": 1000 + part})))["timestamp"][-8:]
        for part in (0.25, 0.5, 1.125)
    ]
    assert stamps == [".250000Z"[-8:], ".500000Z"[-8:], ".125000Z"[-8:]]


_REFUSED_BY_THE_STANDARD_LIBRARY = {"message"}


@pytest.mark.parametrize(
    "name",
    sorted({*contract.ALWAYS, *contract.SOMETIMES, "task", "worker", "iteration"} - _REFUSED_BY_THE_STANDARD_LIBRARY),
)
def test_extras_cannot_take_the_place_of_what_is_reserved(name):
    with log_context(iteration=7):
        record = formatted(msg="real", **{name: "forged"})
    assert record[f"extra_{name}"] == "forged"
    assert record.get(name) != "forged"
    assert (record["task"], record["message"], record["iteration"]) == ("digits", "real", 7)


def test_an_extra_that_moves_takes_nobodys_place():
    record = formatted(task="a", extra_task="b")
    assert (record["task"], record["extra_task"], record["extra_extra_task"]) == ("digits", "b", "a")


def test_what_is_bound_cannot_take_the_place_of_the_identity():
    with log_context(task="forged", level="forged"):
        record = formatted()
    assert (record["task"], record["extra_task"]) == ("digits", "forged")
    assert (record["level"], record["extra_level"]) == ("INFO", "forged")


@pytest.mark.parametrize(
    "names", [("\ud800", "\udc00", "?"), ("n" * 200 + "a", "n" * 200 + "b"), ("task", "extra_task")]
)
def test_names_that_become_the_same_stay_two(names):
    with log_context(**dict.fromkeys(names, 1)):
        record = formatted(**dict.fromkeys(names, 2))
    assert list(record.values()).count(1) == len(names)
    assert list(record.values()).count(2) == len(names)
    assert list(formatted(long="x" * 20_000, also="y" * 20_000, **dict.fromkeys(names, 3)).values()).count(3) == len(
        names
    )


def test_a_dict_as_message_is_fields_as_python_json_logger_has_it():
    record = formatted(msg={"message": "hi", "frames": 2, "level": "forged", "name": "n"})
    assert (record["message"], record["frames"], record["extra_level"]) == ("hi", 2, "forged")
    assert record["name"] == "n"


@pytest.mark.usefixtures("log")
def test_an_exception_is_text_and_a_newline_forges_no_second_record(lines):
    try:
        raise ValueError('a "quoted"\n{"message": "forged"}')
    except ValueError:
        LOGGER.exception("it\nbroke")
    (record,) = lines()
    assert record["message"] == "it\nbroke"
    assert "ValueError" in record["exception"]
    assert "Traceback" in record["exception"]


def test_a_stack_is_a_field(log, lines):
    LOGGER.info("here", stack_info=True)
    assert "test_a_stack_is_a_field" in lines()[0]["stack"]


class Hostile:
    def __str__(self):
        raise RuntimeError("no")

    __repr__ = __str__


class Rude(Hostile):
    def __repr__(self):  # or a failing example could not be shown
        return "Rude()"


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Word(str):
    __slots__ = ()

    def __str__(self):
        raise RuntimeError("no")


recursive: list = []
recursive.append(recursive)


@pytest.mark.usefixtures("_each_encoder")
@pytest.mark.parametrize(
    ("value", "written"),
    [
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        ([math.nan, 1.5], ["NaN", 1.5]),
        (2**63 - 1, 2**63 - 1),
        (2**64, str(2**64)),
        (True, True),
        (None, None),
        ("\udc80", "?"),
        (["\udc80"], ["?"]),
        (b"\xff\x00a", "\ufffd\x00a"),
        ({1: "a", "b": (2, 3)}, {"1": "a", "b": [2, 3]}),
        (Hostile(), "<unprintable Hostile>"),
        ([Hostile()], ["<unprintable Hostile>"]),
        ({Hostile(): 1}, {"<unprintable Hostile>": 1}),
        (Colour.RED, "red"),
        (Level.LOW, 1),
        (Word("word"), "word"),
        (datetime.date(2024, 2, 29), "2024-02-29"),
        (decimal.Decimal("1.5"), "1.5"),
        (ValueError("bad"), "ValueError: bad"),
        (numpy.float32(0.5), 0.5),
        (numpy.int64(7), 7),
        (numpy.bool_(True), True),
        (numpy.float64("nan"), "NaN"),
        ("\u4f60\u597d", "\u4f60\u597d"),
        ("\u2028\x85\x00\x1b", "\u2028\x85\x00\x1b"),
    ],
)
def test_any_value_becomes_json(value, written):
    assert formatted(value=value)["value"] == written


@pytest.mark.usefixtures("_each_encoder")
@pytest.mark.parametrize(
    "value",
    [
        "x" * 10_000_000,
        "\x00" * 10_000_000,
        "\U0001f600" * 5_000,
        b"\xff" * 10_000_000,
        list(range(100_000)),
        {str(number): "y" * 100 for number in range(1000)},
        {"k" * 100_000: 1},
    ],
    ids=["long", "control", "astral", "binary", "list", "dict", "key"],
)
def test_what_is_too_long_for_a_line_is_cut_and_says_so(value):
    record = formatted(value=value, after="still here")
    assert record["message"] == ""
    assert record.get("truncated") or len(str(value)) > len(str(record["value"]))


def test_deep_and_endless_nesting_ends_as_text():
    nested: list = []
    for _ in range(100_000):
        nested = [nested]
    assert formatted(value=nested)["value"] == [[[[[[[["[...]"]]]]]]]]
    assert "[...]" in json.dumps(formatted(value=recursive))
    while nested:
        nested = nested.pop()  # or freeing it recurses


def cyclic():
    node = {str(number): [] for number in range(100)}
    for children in node.values():
        children.extend([node] * 100)
    return node


def shared(make):
    """Few objects, which written out would be 2**60 or 500**8."""
    value = make(["end"], ["end"])
    for _ in range(60):
        value = make(value, value)
    return value


def wide():
    value = [0] * 500
    for _ in range(8):
        value = [value] * 500
    return value


ENDLESS = {
    "cycle": cyclic,
    "shared lists": lambda: shared(lambda one, two: [one, two]),
    "shared tuples": lambda: shared(lambda one, two: (one, two)),
    "shared dicts": lambda: shared(lambda one, two: {"one": one, "two": two}),
    "wide": wide,
    "long": lambda: list(range(5_000_000)),
    "large dict": lambda: dict.fromkeys(range(2_000_000)),
    "long texts": lambda: [["key: value, " * 2_000] * 500] * 500,
    "deques": lambda: shared(lambda one, two: collections.deque([one, two])),
    "enums": lambda: enum.Enum("Cycle", {"A": wide()}).A,
}


@pytest.mark.parametrize("place", ["extra", "many extras", "message", "bound", "event", "argument of a dict"])
@pytest.mark.parametrize("make", ENDLESS.values(), ids=ENDLESS)
def test_a_structure_that_has_no_end_is_written_at_once(make, place):
    value = make()
    began = time.perf_counter()
    if place == "extra":
        record = formatted(value=value)
    elif place == "many extras":
        record = formatted(**{f"value{number}": value for number in range(100)})
    elif place == "message":
        record = formatted(msg={"value": value})
    elif place == "bound":
        with log_context(value=value):
            record = formatted()
    elif place == "event":
        record = formatted(_sedna_event=_formatters.Fields(value=value))
    else:
        record = formatted(msg=dict.fromkeys(range(10_000), value))
    assert time.perf_counter() - began < 0.5
    assert any("value" in name or name.isdigit() for name in record)


@pytest.mark.parametrize("kind", ["extras", "message"])
def test_a_million_fields_are_written_at_once(kind):
    fields = {f"field{number}": number for number in range(1_000_000)}
    record = logging.makeLogRecord({"msg": fields} if kind == "message" else fields)
    formatter = JsonFormatter(identity=IDENTITY)
    began = time.perf_counter()
    line = formatter.format(record)
    assert time.perf_counter() - began < 0.5
    assert strict(line)["field7"] == 7


def test_what_is_in_a_structure_twice_is_written_twice():
    point = {"x": 1}
    assert formatted(value=[point, point, {"at": point}])["value"] == [{"x": 1}, {"x": 1}, {"at": {"x": 1}}]


def test_a_structure_that_is_in_itself_ends_there():
    parent: dict = {"name": "parent"}
    parent["children"] = [{"name": "child", "parent": parent}]
    assert formatted(value=parent)["value"] == {"name": "parent", "children": [{"name": "child", "parent": "{...}"}]}


@pytest.mark.parametrize("length", [3_000, 5_000, 15_000, 17_000, 50_000, 200_000])
def test_a_long_message_keeps_its_beginning_and_a_long_trace_both_ends(length):
    try:
        raise ValueError("e" * length + " password=hunter2 " + "e" * length + " password=hunter2 the end")
    except ValueError:
        record = formatted(msg="m" * 50_000, exc_info=sys.exc_info(), frames=3)
    assert record["truncated"] is True
    assert record["message"].startswith("mmm")
    assert len(record["message"]) > 3000
    assert record["exception"].startswith("Traceback")
    assert record["exception"].endswith("the end")
    assert "hunter2" not in record["exception"].partition("raise ValueError")[2].partition("\n")[2]
    assert record["frames"] == 3
    assert record["task"] == "digits"


def test_an_exception_that_cannot_be_printed_is_named():
    class Unprintable(Exception):
        def __str__(self):
            raise RuntimeError("no")

    try:
        raise Unprintable
    except Unprintable:
        record = formatted(msg="x", exc_info=sys.exc_info())
    assert "Unprintable" in record["exception"]


@pytest.mark.parametrize(
    ("message", "args", "expected"),
    [
        ("%d", ("x",), "%d (arguments: ('x',))"),
        ("%s", (Hostile(),), None),
        ("a %s %s", ("b",), "a %s %s (arguments: ('b',))"),
        (Hostile(), (), "<unprintable Hostile>"),
        (42, (), "42"),
    ],
)
def test_a_message_that_cannot_be_put_together_says_what_it_has(message, args, expected):
    record = formatted(msg=message, args=args)
    assert expected is None or record["message"] == expected


hostile_texts = ["\ud800", "\x00" * 9000, "\u00e9" * 9000, "=" * 40_000]
texts = st.text(st.characters(), max_size=50) | st.sampled_from(hostile_texts)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.binary() | st.builds(Rude),
    lambda each: st.lists(each) | st.dictionaries(texts | st.integers(), each),
    max_leaves=20,
)


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@settings(max_examples=300, deadline=None)
@given(
    message=values,
    args=st.lists(values, max_size=2).map(tuple),
    extras=st.dictionaries(texts | st.sampled_from(contract.FIELDS), values, max_size=6),
    bound=st.dictionaries(texts, values, max_size=3),
    name=texts,
    level=texts,
)
def test_whatever_is_logged_is_one_valid_line(message, args, extras, bound, name, level):
    stream = io.BytesIO()
    wrapper = io.TextIOWrapper(stream, "utf-8", write_through=True)
    record = logging.makeLogRecord({"msg": message, "args": args, "name": name, "levelname": level})
    vars(record).update((key, value) for key, value in extras.items() if key not in vars(record))
    with log_context(**bound):
        handler = logging.StreamHandler(wrapper)
        handler.setFormatter(JsonFormatter(identity=IDENTITY))
        handler.emit(record)
    written = stream.getvalue()
    assert written.endswith(b"\n")
    assert written.count(b"\n") == 1
    assert len(written) <= contract.MAX_LINE_BYTES
    assert strict(written.decode("utf-8"))["task"] == "digits"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("get https://user:pa55@host/path", "get https://***@host/path"),
        ("get https://tok3n@host/path?a=1", "get https://***@host/path?a=1"),
        ("s3://b/k?X-Amz-Signature=abc123&X-Amz-Date=1", "s3://b/k?X-Amz-Signature=***&X-Amz-Date=1"),
        ("X-Amz-Credential=AKIA/2024 X-Amz-Security-Token=zz", "X-Amz-Credential=*** X-Amz-Security-Token=***"),
        ("https://a.blob.core/x?sv=1&sig=s3cr3t%3D&se=2", "https://a.blob.core/x?sv=1&sig=***&se=2"),
        ("Authorization: Bearer abc.def.ghi", "Authorization: ***"),
        ("{'Authorization': 'Basic dXNlcjpwYXNz', 'Accept': 'x'}", "{'Authorization': '***', 'Accept': 'x'}"),
        ("sent Bearer abcdef123456 along", "sent Bearer *** along"),
        ('{"password": "hunter2", "user": "me"}', '{"password": "***", "user": "me"}'),
        ("password=hunter2 user=me", "password=*** user=me"),
        ("AWS_SECRET_ACCESS_KEY=abc/def", "AWS_SECRET_ACCESS_KEY=***"),
        ("api_key: abc, n: 1", "api_key: ***, n: 1"),
        ("access_token=abc&x=1", "access_token=***&x=1"),
        ("SessionToken=abc refreshToken=def", "SessionToken=*** refreshToken=***"),
        ("dbPassword: abc, n: 1", "dbPassword: ***, n: 1"),
        ("PGPASSWORD=abc psql", "PGPASSWORD=*** psql"),
        ("user=me&pass=abc", "user=me&pass=***"),
        ("login --user me --password hunter2 --port 1", "login --user me --password *** --port 1"),
        ("['--password', 'hunter2', '--port']", "['--password', '***', '--port']"),
        ("[('Authorization', 'Bearer abcdef'), ('Accept', 'x')]", "[('Authorization', '***'), ('Accept', 'x')]"),
        ("[(b'cookie', b'a=b; session=c')]", "[(b'cookie', b'***')]"),
        ("{b'password': b'hunter2'}", "{b'password': b'***'}"),
        ("Cookie: a=1; session=abc", "Cookie: ***"),
        ("got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl back", "got *** back"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY----- end",
            "-----BEGIN RSA PRIVATE KEY-----*** end",
        ),
    ],
)
def test_secrets_are_masked_in_message_extra_and_exception(text, masked):
    try:
        raise ValueError(text)
    except ValueError:
        record = formatted(msg=text, note=text, nested={"deep": [text]}, exc_info=sys.exc_info())
    assert (record["message"], record["note"], record["nested"]) == (masked, masked, {"deep": [masked]})
    assert record["exception"].endswith(f"ValueError: {masked}")


@pytest.mark.parametrize("change", [str.lower, str.upper, str.title, str.swapcase])
@pytest.mark.parametrize("scheme", ["Bearer", "Basic"])
@pytest.mark.parametrize(
    "text", ["sent {} {} along", "Authorization: {} {}", "{{'authorization': '{} {}'}}", "[('AUTHORIZATION', '{} {}')]"]
)
def test_a_credential_is_masked_however_its_scheme_is_written(text, scheme, change):
    written = formatted(msg=text.format(change(scheme), "dXNlcjpwYXNz"))["message"]
    assert "dXNlcjpwYXNz" not in written
    assert "***" in written


@pytest.mark.parametrize(
    "name",
    ["password", "db_password", "api_key", "apiKey", "token", "Authorization", "secret", "refreshToken", "PGPASSWORD"],
)
def test_a_field_that_is_called_a_secret_is_masked(name):
    assert formatted(**{name: "hunter2"})[name] == "***"
    assert formatted(nested={name: ["hunter2"]})["nested"] == {name: "***"}
    assert formatted(nested={name.encode(): b"hunter2"})["nested"] == {name: "***"}
    with log_context(**{name: "hunter2"}):
        assert formatted()[name] == "***"


@pytest.mark.parametrize(
    "text",
    [
        "loss: 0.5 at 12:30:01",
        "tokens=512 keys=3",
        "https://host:8080/path?x=1",
        "a@b.example wrote",
        "monkey: 3",
        "passed: 10, design: good",
        "max_token=128 n_tokens: 5 tokenizer=bert token_count=3 max_new_tokens=7 pad_token=0",
        "--tokenizer bert --max-token 5",
        "monkeyKey: 3",
    ],
)
def test_what_is_no_secret_stays(text):
    assert formatted(msg=text, note=text)["message"] == text


@pytest.mark.parametrize("name", ["max_token", "tokenizer", "n_tokens", "token_count", "sorting_key", "key"])
def test_a_field_that_only_looks_like_a_secret_stays(name):
    assert formatted(**{name: 128})[name] == 128


def test_a_secret_that_the_cut_would_go_through_is_masked():
    # The first secret, masked, makes room for what stood behind the longest text that is looked at.
    text = "password=" + "s" * (_formatters._MAX_TEXT - 1000) + " https://user:" + "p4ss" * 1000 + "@host/"
    record = formatted(msg=text, note=text)
    assert "p4ss" not in json.dumps(record)
    assert "@host" in record["message"]


@pytest.mark.parametrize(
    "text", ["https://" + "a@" * 30_000, "password=" * 10_000, "a-" * 30_000 + "=", "key" * 20_000 + ":"]
)
def test_masking_takes_linear_time(text):
    done = threading.Event()
    threading.Thread(target=lambda: (formatted(msg=text), done.set()), daemon=True).start()
    assert done.wait(5), "a pattern of ours backtracks"


@pytest.mark.usefixtures("log")
def test_warnings_come_too(lines):
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.warn("careful", stacklevel=1)
    (record,) = lines()
    assert "careful" in record["message"]
    assert record["level"] == "WARNING"


@pytest.mark.usefixtures("log")
def test_the_context_follows_asyncio_tasks_and_is_each_tasks_own(lines):
    async def work(number):
        bind(iteration=number)
        await asyncio.sleep(0)
        LOGGER.info("in %d", number)

    async def main():
        with log_context(task_stage="train"):
            await asyncio.gather(*(work(number) for number in range(5)))
        LOGGER.info("after")

    asyncio.run(main())
    assert [record.get("iteration") for record in lines()] == [0, 1, 2, 3, 4, None]
    assert [record.get("task_stage") for record in lines()] == ["train"] * 5 + [None]


@pytest.mark.usefixtures("log")
def test_the_context_goes_to_an_executors_thread_when_it_is_handed_along(lines):
    with ThreadPoolExecutor(1) as pool, log_context(epoch=2):
        pool.submit(contextvars.copy_context().run, LOGGER.info, "there").result()
    assert lines()[0]["epoch"] == 2


def test_what_a_worker_binds_is_on_the_records_of_every_thread(log, lines):
    log.bind(iteration=4)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(LOGGER.info, "there").result()
    log.bind(iteration=None)
    LOGGER.info("gone")
    assert [record.get("iteration") for record in lines()] == [4, None]


def test_what_is_bound_ends_with_the_log_and_does_not_reach_the_next(stream, lines):
    with configure_logging("json", "INFO", IDENTITY, io.StringIO()) as log:
        bind(epoch=1)
        log.bind(iteration=1)
    with configure_logging("json", "INFO", IDENTITY, stream):
        LOGGER.info("next")
        with log_context(epoch=5):
            LOGGER.info("own")
    assert [(record.get("epoch"), record.get("iteration")) for record in lines()] == [(None, None), (5, None)]


@pytest.mark.usefixtures("log")
def test_what_is_bound_in_a_log_context_ends_with_it(lines):
    with log_context(batch=7, epoch=1):
        bind(camera="north", epoch=2)
        LOGGER.info("bound")
        with log_context(part=1, epoch=3):
            LOGGER.info("deeper")
        LOGGER.info("back")
    LOGGER.info("left")
    fields = [[record.get(name) for name in ("batch", "epoch", "camera", "part")] for record in lines()]
    assert fields == [[7, 2, "north", None], [7, 3, "north", 1], [7, 2, "north", None], [None] * 4]


@pytest.mark.usefixtures("log")
def test_none_removes_a_field_of_a_surrounding_block_and_of_bind(lines):
    with log_context(batch=7, epoch=1):
        bind(batch=None, camera="north")
        LOGGER.info("removed")
        bind(camera=None)
        with log_context(epoch=None):
            LOGGER.info("none")
    assert [sorted(record.keys() & {"batch", "epoch", "camera"}) for record in lines()] == [["camera", "epoch"], []]


def test_no_worker_inherits_what_the_last_one_was_doing(start, capsys):
    first = start(log="json")
    first.incremental_learning.iteration(7)
    with first.incremental_learning.training():
        pass
    first.close()
    capsys.readouterr()
    second = start(log="json")
    LOGGER.info("clean")
    second.close()
    record = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert record.keys() & {"iteration", "task_stage", "epoch"} == set()


def test_the_identity_is_sednas_where_none_is_given(stream, lines, monkeypatch):
    monkeypatch.setenv("JOB_NAME", "from-env")
    monkeypatch.setenv("WORKER_NAME", "train-worker-abcde")
    with configure_logging(stream=stream):
        LOGGER.info("x")
    (record,) = lines()
    assert (record["task"], record["worker_type"]) == ("from-env", "train")


def test_the_identity_tells_the_kind_as_soon_as_it_is_known(start, capsys):
    worker = start(log="json")
    worker.joint_inference  # noqa: B018
    LOGGER.info("x")
    worker.close()
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["kind"] == "jointinferenceservice"


@pytest.mark.parametrize("key", ["class", "()"])
def test_the_formatter_can_be_named_in_a_dict_config(key, capsys):
    logger = logging.getLogger("configured")
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "json": {key: "sedna_metrics.logs.JsonFormatter", **({} if key == "()" else {"format": "x"})}
            },
            "handlers": {"out": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stdout"}},
            "loggers": {"configured": {"handlers": ["out"], "propagate": False}},
        }
    )
    try:
        logger.warning("hi", extra={"a": 1})
    finally:
        logger.handlers.clear()
        logger.propagate = True
    record = json.loads(capsys.readouterr().out)
    assert (record["message"], record["a"], record["logger"]) == ("hi", 1, "configured")


def test_python_json_loggers_formatter_is_its_base():
    if importlib.util.find_spec("pythonjsonlogger.json") is not None:
        from pythonjsonlogger.json import JsonFormatter as Base
    else:
        from pythonjsonlogger.jsonlogger import JsonFormatter as Base
    assert issubclass(JsonFormatter, Base)


def test_version_2_of_python_json_logger_does_as_well():
    # Its module is called otherwise; a stand-in, as the environment can only hold one version.
    program = """
import logging, sys, types
name = "pythonjsonlogger.json" if {is_new} else "pythonjsonlogger.jsonlogger"
real = __import__(name, fromlist=["JsonFormatter"]).JsonFormatter
old = types.ModuleType("pythonjsonlogger.jsonlogger")
old.JsonFormatter = type("JsonFormatter", (real,), dict())
sys.modules["pythonjsonlogger.json"], sys.modules["pythonjsonlogger.jsonlogger"] = None, old
from sedna_metrics.logs import JsonFormatter
assert issubclass(JsonFormatter, old.JsonFormatter)
print(JsonFormatter(identity=dict()).format(logging.makeLogRecord(dict(msg="hi"))))
"""
    is_new = importlib.util.find_spec("pythonjsonlogger.json") is not None
    done = subprocess.run([sys.executable, "-c", program.format(is_new=is_new)], capture_output=True, text=True)
    assert (done.stderr, done.returncode) == ("", 0)
    assert json.loads(done.stdout)["message"] == "hi"


def test_every_field_that_does_not_depend_on_the_script_is_declared(start, capsys):
    worker = start({"NAMESPACE": "n"}, log="json")
    with log_context(iteration=1, epoch=1, task_stage="train", location="edge"):
        LOGGER.error("x" * 20_000, exc_info=ValueError("x"), stack_info=True)
    worker.incremental_learning.iteration(1)
    worker.close()
    seen = set().union(*map(json.loads, capsys.readouterr().out.splitlines()))
    assert seen == set(contract.FIELDS)


def test_text_is_for_people_with_the_same_context(stream):
    with configure_logging("text", "INFO", IDENTITY, stream), log_context(epoch=2):
        LOGGER.info("trained", extra={"loss": 0.25, "note": "two words", "password": "x"})
    line = stream.getvalue()
    assert re.fullmatch(r'\d\d:\d\d:\d\d INFO    trained  epoch=2 loss=0.25 note="two words" password=\*\*\*\n', line)


def test_text_cannot_repaint_the_terminal_nor_forge_a_line(stream):
    with configure_logging("text", "INFO", IDENTITY, stream):
        LOGGER.info("a\x1b[2Jb\n12:00:00 INFO    forged", extra={"x": "\x1b\n"})
    first, *others = stream.getvalue().splitlines()
    assert "\x1b" not in stream.getvalue()
    assert all(other.startswith("    ") for other in others)
    assert "forged" in others[0]
    assert first.endswith("a\\x1b[2Jb")


def test_text_has_the_trace_and_survives_what_cannot_be_printed(stream):
    with configure_logging("text", "INFO", IDENTITY, stream):
        LOGGER.info("x", extra={"bad": Hostile(), "sur": "\udc80"})
        LOGGER.error("broke", exc_info=ValueError("why"))
    assert "<unprintable Hostile>" in stream.getvalue()
    assert "ValueError: why" in stream.getvalue()


def state():
    """What a log changes in the process."""
    root = logging.getLogger()
    hooks = (sys.excepthook, getattr(threading, "excepthook", None), warnings.showwarning)
    return list(root.handlers), root.level, hooks, list(sys.meta_path)


def test_logging_is_as_it_was_after_it_is_closed(stream):
    before = state()
    with configure_logging("json", "DEBUG", IDENTITY, stream):
        assert [old == new for old, new in zip(before, state())] == [False] * 4
    assert state() == before


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_of_several_logs_the_latest_open_one_writes_and_they_close_in_any_order(order):
    before = state()
    streams = [io.StringIO() for _ in order]
    logs = [
        configure_logging("json", level, {"log": number}, stream)
        for number, (level, stream) in enumerate(zip(["DEBUG", "WARNING", "INFO"], streams))
    ]
    still_open = [0, 1, 2]
    for closed in (*order, None):
        sizes = [len(stream.getvalue()) for stream in streams]
        LOGGER.error("once")
        wrote = [number for number, stream in enumerate(streams) if len(stream.getvalue()) > sizes[number]]
        assert wrote == still_open[-1:]
        assert [logging.getLogger().level] == ([(10, 30, 20)[each] for each in still_open[-1:]] or [before[1]])
        if closed is not None:
            logs[closed].close()
            logs[closed].close()
            still_open.remove(closed)
    assert state() == before


def test_a_log_on_the_same_stream_writes_no_line_twice(stream, lines):
    with configure_logging(stream=stream), configure_logging(stream=stream):
        LOGGER.info("once")
    assert len(lines()) == 1


def test_hooks_that_the_script_sets_later_stay_when_the_log_is_closed(monkeypatch):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    with configure_logging():
        sys.excepthook = later = lambda *args: None
    assert sys.excepthook is later


def test_off_changes_nothing(start):
    before = list(logging.getLogger().handlers)
    start(log="off")
    assert list(logging.getLogger().handlers) == before


@pytest.mark.parametrize(("style", "level"), [("jason", "INFO"), ("json", "LOUD")])
def test_a_wrong_style_or_level_is_refused_and_nothing_is_left(style, level, stream):
    before = list(logging.getLogger().handlers)
    with pytest.raises(ValueError, match=style if style == "jason" else level):
        configure_logging(style, level, IDENTITY, stream)
    assert list(logging.getLogger().handlers) == before
