"""``sedna-metrics run`` runs a script as python does: what the script sees, prints and returns is python's own.

Only a traceback is longer: it begins with the frames of the command.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

QUIET = ["--export", "off", "--log", "off"]


class Folder:
    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, name: str, text: str) -> str:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return str(file)

    def python(self, *arguments: str, **environ: str):
        environment = {**os.environ, **environ}
        environment.pop("CI", None)
        done = subprocess.run(
            [sys.executable, *arguments], cwd=self.path, env=environment, capture_output=True, text=True, timeout=60
        )
        return done.returncode, done.stdout, done.stderr

    def run(self, *arguments: str, options=QUIET, **environ: str):
        return self.python("-m", "sedna_metrics", "run", *options, *arguments, **environ)

    def same(self, *arguments: str, **environ: str):
        """What both give, once it is seen to be the same; of a traceback the last line."""
        status, out, err = self.python(*arguments, **environ)
        ran_status, ran_out, ran_err = self.run(*arguments, **environ)
        assert (ran_status, ran_out, ran_err.splitlines()[-1:]) == (status, out, err.splitlines()[-1:])
        return status, out, err


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


LOOK = """
import os, sys
main = sys.modules["__main__"]
print(sys.argv, os.path.abspath(sys.path[0]), sys.path.count(sys.path[0]))
print(__name__, os.path.abspath(__file__), __package__ or None, __spec__ and __spec__.name, __doc__)
print(main.__dict__ is globals())
print(sorted(name for name in globals() if name not in ("__annotations__", "__cached__")))
def function(x: int): ...
print(function.__annotations__, "annotations" in dir())
"""


def test_a_script_sees_what_it_would_see(folder):
    folder.write("scripts/look.py", f'"""Its doc."""\n{LOOK}')
    status, out, err = folder.same("scripts/look.py", "--port", "1", "-x", "--set", "a=b", "-m", "--", "last")
    assert status == 0
    assert err == ""
    assert "['scripts/look.py', '--port', '1', '-x', '--set', 'a=b', '-m', '--', 'last']" in out


def test_a_script_imports_what_lies_beside_it_also_through_a_link(folder):
    folder.write("real/beside.py", "print('beside')")
    folder.write("real/script.py", "import beside, sys; print(sys.path[0])")
    os.symlink("real/script.py", folder.path / "link.py")
    assert "beside" in folder.same("link.py")[1]


def test_a_module_a_package_a_folder_and_an_archive(folder):
    folder.write("package/__init__.py", "import sys; print(sys.argv[1:])")
    folder.write("package/module.py", LOOK + "from . import other\n")
    folder.write("package/__main__.py", LOOK + "from package import other\n")
    folder.write("package/other.py", "print('other')")
    folder.write("tree/__main__.py", LOOK + "import near\n")
    folder.write("tree/near.py", "print('near')")
    with zipfile.ZipFile(folder.path / "archive.zip", "w") as archive:
        archive.writestr("__main__.py", LOOK)
    assert "other" in folder.same("-m", "package.module", "--epochs", "3")[1]
    assert "other" in folder.same("-m", "package", "-v")[1]
    assert "near" in folder.same("tree", "a")[1]
    assert folder.same("archive.zip", "a")[0] == 0


def test_classes_of_the_script_are_pickled_and_processes_find_them(folder):
    folder.write(
        "script.py",
        """
import multiprocessing, pickle

class Sample:
    def __init__(self, value): self.value = value

def double(sample): return Sample(sample.value * 2)

if __name__ == "__main__":
    print(pickle.loads(pickle.dumps(Sample(3))).value)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        print([sample.value for sample in pool.map(double, [Sample(1), Sample(2)])])
""",
    )
    assert folder.same("script.py")[1] == "3\n[2, 4]\n"


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("raise SystemExit", 0),
        ("raise SystemExit(3)", 3),
        ("sys.exit('what went wrong')", 1),
        ("raise SystemExit([])", 1),
        ("raise ValueError('bad')", 1),
        ("raise KeyboardInterrupt", -2 if sys.version_info >= (3, 8) else 1),
        ("try:\n    {}['a']\nexcept KeyError as error:\n    raise ValueError('bad') from error", 1),
        ("try:\n    {}['a']\nexcept KeyError:\n    raise ValueError('bad')", 1),
        ("def broken(:", 1),
        ("import os; os._exit(7)", 7),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9),
        ("sys.excepthook = lambda kind, error, trace: print('mine', kind, error)\nraise ValueError('bad')", 1),
        ("import atexit; atexit.register(print, 'at exit')\nraise ValueError('bad')", 1),
        ("import threading; threading.Timer(0.2, print, ['a thread goes on']).start()", 0),
        ("import nowhere", 1),
        ("raise BrokenPipeError('gone')", 1),
        ("del sys.modules['__main__']", 0),
    ],
)
def test_it_ends_as_it_would_end(folder, end, status):
    folder.write("script.py", f"import sys\nprint('begun', flush=True)\n{end}\n")
    assert folder.same("script.py")[0] == status


def test_a_script_that_is_not_there(folder):
    status, _, err = folder.run("nowhere.py")
    assert status == 2
    assert "there is no script 'nowhere.py'" in err
    assert folder.python("nowhere.py")[0] == 2
    status, _, err = folder.run("-m", "nowhere.module")
    assert (status, folder.python("-m", "nowhere.module")[0]) == (1, 1)
    assert "nowhere" in err


TELL = """
import atexit, sedna_metrics
worker = sedna_metrics.running()
print(worker.identity.task, worker.settings.export, worker.settings.port, worker.settings.push_interval)
def tell():
    print([s.value for family in worker.registry.collect() for s in family.samples if "last_success" in s.name])
atexit.register(tell)
"""


def test_options_are_settings(folder):
    folder.write("train.py", TELL)
    options = [*QUIET, "--port=5000-5010", "--push-interval", "3"]
    status, out, _ = folder.run("train.py", options=options)
    assert status == 0
    assert out.startswith("train off 5000-5010 3.0\n")
    options = ["--log", "off", "--export=off", "--push-interval=3", "--"]
    status, out, _ = folder.run("train.py", options=options, JOB_NAME="job", SEDNA_METRICS_PORT="7")
    assert out.startswith("job off 7 3.0\n")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--export", "everywhere"], "argument --export: 'everywhere' is not valid: it must be one of auto, pull"),
        (["--port", "abc"], "argument --port: 'abc' is not valid: it must be a port such as 9470"),
        (["--port"], "argument --port: 'script.py' is not valid"),
        (["--tls-key-file", "key.pem"], "SEDNA_METRICS_TLS_CERT_FILE"),
        (["--auth-password", "secret"], "unrecognized arguments: --auth-password"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
        (["-"], "there is no script '-'"),
        ([], "give a script, or -m and a module"),
    ],
)
def test_an_option_that_cannot_be_used_is_said_before_the_script_runs(folder, options, said):
    folder.write("script.py", "print('ran')")
    status, out, err = folder.run(*(["script.py"] if options else []), options=options)
    assert status == 2
    assert said in err
    assert "ran" not in out
    assert "Traceback" not in err


def test_help_tells_every_setting(folder):
    status, out, _ = folder.run(options=["--help"])
    assert status == 0
    assert "(SCRIPT | -m MODULE)" in out
    assert "--pushgateway-url" in out


@pytest.mark.parametrize(
    ("end", "noted"),
    [
        ("", True),
        ("raise SystemExit(0)", True),
        ("raise SystemExit", True),
        ("raise SystemExit(1)", False),
        ("raise ValueError", False),
    ],
)
def test_success_is_noted_if_the_script_ended_well(folder, end, noted):
    folder.write("script.py", TELL + end)
    last_line = folder.run("script.py")[1].splitlines()[-1]
    assert (last_line != "[]") == noted


def test_the_worker_runs_on_as_long_as_the_scripts_threads_do(folder):
    folder.write(
        "script.py",
        """
import sedna_metrics, threading
def later():
    threading.main_thread().join()
    print(sedna_metrics.running() is not None)
threading.Thread(target=later).start()
""",
    )
    assert folder.run("script.py")[1] == "True\n"
