# A test of a collection.

from __future__ import annotations


class TestModule:
    def tests(self):
        return {"loud": lambda text: str(text).endswith("!")}
