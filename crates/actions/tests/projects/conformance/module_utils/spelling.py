# What a module of the project imports.

from __future__ import annotations


def spell(word):
    return "-".join(word)
