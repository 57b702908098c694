"""The bytecode of our callback plugin, which each run has as a file of its own.

Python would compile that file in every run. Here it is compiled once, and a
run puts the result where Python would: in `__pycache__` beside its file. It is
marked to be checked, so Python compares the file with what it was made of, and
compiles a different one itself.
"""

import importlib.util
import os
import py_compile
import sys

NAME = "lariat_result.py"


class Bytecode:
    """Of the callback plugin that lies in a private directory."""

    def __init__(self, private):
        made = os.path.join(private, "callback.pyc")
        self.data = None
        try:
            py_compile.compile(
                source_in(private),
                cfile=made,
                doraise=True,
                invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH,
            )
            with open(made, "rb") as file:
                self.data = file.read()
            os.unlink(made)
        except (OSError, py_compile.PyCompileError):
            # Each run does it itself.
            pass

    def give(self, private):
        """In a run: puts it into the run's private directory."""
        source = source_in(private)
        if self.data is None or sys.pycache_prefix or not os.path.isfile(source):
            return
        place = importlib.util.cache_from_source(source)
        try:
            os.mkdir(os.path.dirname(place))
            with open(place, "xb") as file:
                file.write(self.data)
        except OSError:
            # Python writes no bytecode there either.
            pass


def source_in(private):
    return os.path.join(private, "callback", NAME)
