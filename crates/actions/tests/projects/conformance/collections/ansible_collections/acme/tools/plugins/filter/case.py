# A filter of a collection.

from __future__ import annotations


class FilterModule:
    def filters(self):
        return {"shout": lambda text: str(text).upper() + "!"}
