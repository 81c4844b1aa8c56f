"""``sedna-metrics run``: an unedited Sedna script, with its task's metrics and its log."""

from __future__ import annotations

import argparse
import builtins
import importlib.util
import io
import os
import sys
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType, TracebackType
from typing import Any, Dict, List, NamedTuple, NoReturn, Optional, Tuple, Type

from sedna_metrics import _runtime, auto, settings
from sedna_metrics.errors import SednaMetricsError

_DESCRIPTION = """\
Run a Python script as python does, and observe Sedna's classes in it: its inferences, trainings, evaluations and
aggregations become the task's metrics. Each setting of the settings reference is an option; what follows the script (or
-m MODULE) is the script's own."""


class Target(NamedTuple):
    """What is to be run."""

    name: str
    """The script's path, or the module's name."""
    is_module: bool
    arguments: List[str]


def add_to(commands: Any) -> None:
    """Add this command to the parser."""
    parser = commands.add_parser(
        "run",
        help="run an unedited Sedna script with metrics and log",
        usage="sedna-metrics run [options] (SCRIPT | -m MODULE) [arguments]",
        description=_DESCRIPTION,
    )
    for setting in settings.TABLE:
        flag = f"--{setting.name.replace('_', '-')}"
        parser.add_argument(flag, metavar="VALUE", dest=f"setting_{setting.name}", help=setting.doc.replace("%", "%%"))
    parser.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], help="any setting, by its name")
    parser.set_defaults(run=run, target=None, parser=parser)


def split(argv: List[str]) -> Tuple[List[str], Optional[Target]]:
    """Take script and arguments off a command line that begins with ``run``: they are not ours to parse."""
    if argv[:1] != ["run"]:
        return argv, None
    position = 1
    while position < len(argv) and argv[position].startswith("-") and argv[position] not in ("-m", "--"):
        # All options take a value but --help.
        position += 1 if "=" in argv[position] or argv[position] in ("-h", "--help") else 2
    options, rest = argv[:position], argv[position:]
    if rest[:1] == ["--"]:
        rest = rest[1:]
    is_module = rest[:1] == ["-m"]
    if is_module:
        rest = rest[1:]
    return options, Target(rest[0], is_module, rest[1:]) if rest else None


def run(arguments: argparse.Namespace) -> int:
    """Run the script in this process; gives the exit status where the script itself does not end the process."""
    if arguments.target is None:
        arguments.parser.error("what is to be run? Give a script, or -m and a module")
    target: Target = arguments.target
    given = _settings(arguments)
    main, code = _prepare(target)
    try:
        worker = _runtime.start_with(given)
    except SednaMetricsError as why:
        print(f"sedna-metrics run: {why}", file=sys.stderr)
        return 2
    auto.observe_sedna(worker)
    try:
        exec(code, main.__dict__)
    except SystemExit as end:
        if end.code in (None, 0):
            worker.success()
        raise
    except BaseException:
        # Python itself prints it and finds the exit status (a KeyboardInterrupt's is a signal's). Ours is only that our
        # own frames are not in it; whatever hook the script set is asked as it would be.
        sys.excepthook = _WithoutOurFrames(sys.excepthook)
        raise
    worker.success()
    # The worker is closed as the process ends, after the script's threads: Sedna's hot update is one.
    return 0


def _settings(arguments: argparse.Namespace) -> Dict[str, Any]:
    given: Dict[str, Any] = {
        setting.name: value
        for setting in settings.TABLE
        for value in [getattr(arguments, f"setting_{setting.name}")]
        if value is not None
    }
    for pair in arguments.set:
        name, equals, value = pair.partition("=")
        if not equals:
            arguments.parser.error(f"--set takes NAME=VALUE, not {pair!r}")
        name = name.lower()
        prefix = settings.PREFIX.lower()
        given[name[len(prefix) :] if name.startswith(prefix) else name] = value
    return given


def _prepare(target: Target) -> Tuple[ModuleType, CodeType]:
    """Make the ``__main__`` module, argv and path that ``python`` would, and compile the script.

    Raises:
        SystemExit: there is no such script or module.
    """
    if target.is_module:
        return _prepare_module(target)
    path = target.name
    if os.path.isdir(path) or _is_archive(path):
        # A directory or zip file with a __main__.py in it.
        _set_path(_absolute(path))
        sys.argv[:] = [path, *target.arguments]
        # Not importlib's find_spec, which gives the spec of the __main__ that is running.
        return _as_main(_runnable(PathFinder.find_spec("__main__", [_absolute(path)]), path))
    try:
        with io.open_code(os.path.abspath(path)) as file:
            source = file.read()
    except OSError as why:
        _stop(f"can't open file {os.path.abspath(path)!r}: [Errno {why.errno}] {why.strerror}")
    _set_path(os.path.dirname(os.path.realpath(path)))
    sys.argv[:] = [path, *target.arguments]
    file_name = _absolute(path)
    main = _fresh_main()
    main.__dict__.update(
        __file__=file_name, __loader__=SourceFileLoader("__main__", file_name), __spec__=None, __package__=None
    )
    main.__dict__["__cached__"] = None
    return main, _compiled(source, file_name)


def _prepare_module(target: Target) -> Tuple[ModuleType, CodeType]:
    _set_path(os.getcwd())
    sys.argv[:] = ["-m", *target.arguments]  # as it is while python looks for the module
    spec = _find(target.name)
    sys.argv[0] = spec.origin or target.name
    return _as_main(spec)


def _as_main(spec: ModuleSpec) -> Tuple[ModuleType, CodeType]:
    loader: Any = spec.loader
    try:
        code = loader.get_code(spec.name)
    except SyntaxError:
        sys.excepthook = _WithoutOurFrames(sys.excepthook)
        raise
    main = _fresh_main()
    main.__dict__.update(
        __file__=spec.origin, __loader__=loader, __spec__=spec, __package__=spec.parent, __cached__=spec.cached
    )
    return main, code


def _find(name: str) -> ModuleSpec:
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(f"{name}.__main__")
    except (ImportError, ValueError) as why:
        _stop(f"Error while finding module specification for {name!r} ({type(why).__name__}: {why})", status=1)
    return _runnable(spec, name)


def _runnable(spec: Optional[ModuleSpec], name: str) -> ModuleSpec:
    if spec is None or not hasattr(spec.loader, "get_code"):
        _stop(f"can't find a module to run in {name!r}", status=1)
    return spec


def _compiled(source: bytes, file_name: str) -> CodeType:
    try:
        code: CodeType = compile(source, file_name, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        sys.excepthook = _WithoutOurFrames(sys.excepthook)
        raise
    return code


def _fresh_main() -> ModuleType:
    # A module of its own, which stays: classes of the script are pickled by the name __main__, and processes that
    # multiprocessing spawns look here for the script.
    main = ModuleType("__main__")
    main.__dict__["__builtins__"] = builtins
    _keep.append(sys.modules["__main__"])
    sys.modules["__main__"] = main
    return main


_keep: List[ModuleType] = []
"""The ``__main__`` that was there before, whose code is still running."""


def _set_path(first: str) -> None:
    # There now: the folder of the command, or for "python -m" the current one. With -P or -I there is neither.
    if not getattr(sys.flags, "safe_path", False) and not sys.flags.isolated:
        sys.path[0] = first


def _absolute(path: str) -> str:
    return os.path.abspath(path) if sys.version_info >= (3, 9) else path


def _is_archive(path: str) -> bool:
    import zipfile

    return os.path.isfile(path) and zipfile.is_zipfile(path)


def _stop(message: str, status: int = 2) -> NoReturn:
    print(f"sedna-metrics run: {message}", file=sys.stderr)
    raise SystemExit(status)


class _WithoutOurFrames:
    """Hands an exception that ends the process to ``hook``, without what the traceback tells of this command."""

    def __init__(self, hook: Any) -> None:
        self._hook = hook

    def __call__(self, kind: Type[BaseException], error: BaseException, trace: Optional[TracebackType]) -> None:
        seen: List[BaseException] = []
        each: Optional[BaseException] = error
        while each is not None and each not in seen:
            seen.append(each)
            each.__traceback__ = _without_ours(each.__traceback__)
            each = each.__cause__ or each.__context__
        self._hook(kind, error, error.__traceback__)


def _without_ours(trace: Optional[TracebackType]) -> Optional[TracebackType]:
    entries: List[TracebackType] = []
    while trace is not None:
        entries.append(trace)
        trace = trace.tb_next
    own = [position for position, entry in enumerate(entries) if entry.tb_frame.f_code.co_filename == __file__]
    entries = entries[own[-1] + 1 :] if own else entries
    hooks = os.path.dirname(auto.__file__)
    kept: Optional[TracebackType] = None
    for entry in reversed(entries):
        if os.path.dirname(entry.tb_frame.f_code.co_filename) != hooks:
            entry.tb_next = kept
            kept = entry
    return kept
