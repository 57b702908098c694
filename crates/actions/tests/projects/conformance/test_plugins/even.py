# A test of the project.

from __future__ import annotations


class TestModule:
    def tests(self):
        return {"even": lambda number: int(number) % 2 == 0}
