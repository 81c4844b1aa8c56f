"""Observes Sedna in an unchanged image: what ``sedna-metrics.pth`` imports in every Python process of the container.

In the container this file is ``lib/pythonX.Y/site-packages/_sedna_metrics_autoload.py`` below PYTHONUSERBASE, beside
``bundle.zip``. It only waits for the import of ``sedna.core``, and must not fail, on any Python 3. Therefore it imports
next to nothing, and has neither annotations nor f-strings.
"""

import os
import sys

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
WAITED_FOR = "sedna.core"


class Watch:
    """A finder that finds nothing: it starts the worker when Sedna is first imported."""

    def find_spec(self, name, path=None, target=None):
        # PyPI has another package of that name.
        if name == WAITED_FOR and any(os.path.exists(os.path.join(each, "service", "client.py")) for each in path):
            sys.meta_path.remove(self)
            try:
                start()
            except Exception as why:
                sys.stderr.write("sedna-metrics: Sedna is not observed: %s: %s\n" % (type(why).__name__, why))
        return


class Bundle:
    """The last finder: it looks into the bundle for what the image lacks."""

    def __init__(self, folders):
        self.folders = folders

    def find_spec(self, name, path=None, target=None):
        from importlib.machinery import PathFinder

        return PathFinder.find_spec(name, self.folders) if path is None else None


def start():
    """Start a worker and observe Sedna's classes, unless the image has sedna-metrics: then its script does so."""
    import tempfile
    from importlib.util import find_spec

    if sys.version_info < (3, 6):
        raise RuntimeError("Python %d.%d is too old" % sys.version_info[:2])
    if find_spec("sedna_metrics") is not None:
        return
    bundle = os.path.join(ROOT, "bundle.zip")
    if not os.path.isfile(bundle):
        raise RuntimeError("there is no " + bundle)
    own = "py38" if sys.version_info >= (3, 8) else "py36"
    sys.meta_path.append(Bundle([os.path.join(bundle, own), bundle]))
    try:
        tempfile.gettempdir()
    except OSError:  # a read-only image: certifi unpacks its file there
        tempfile.tempdir = "/dev/shm"
    import sedna_metrics

    sedna_metrics.observe_sedna()


if os.environ.get("SEDNA_METRICS_EXPORT", "").lower() != "off":
    sys.meta_path.insert(0, Watch())
