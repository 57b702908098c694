# What the collection's module imports.

from __future__ import annotations


def length(text):
    return len(text)
