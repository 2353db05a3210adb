#!/usr/bin/env python3
"""Draws a sample of mutants: sample.py LIST K/N

LIST is what `cargo mutants --list --json` says. Whether a mutant is drawn depends on what it changes and in which function, not on where
that stands: a sample stays the same while the code around it changes, so that its survivors can be worked on.
"""

import collections
import hashlib
import json
import pathlib
import re
import sys


def what(mutant):
    """A mutant in words without its line and column."""
    return re.sub(r":\d+:\d+: ", ": ", mutant["name"], count=1)


def drawn(mutants, seed, of):
    seen = collections.Counter()
    for mutant in mutants:
        name = what(mutant)
        seen[name] += 1
        # A function may hold the same operator several times.
        number = int.from_bytes(hashlib.sha256(f"{name}#{seen[name]}".encode()).digest()[:8], "big")
        if number % of == seed:
            yield mutant


def main():
    path, shard = sys.argv[1:]
    seed, of = map(int, shard.split("/"))
    if not 0 <= seed < of:
        sys.exit(f"{shard}: the first is from 0 to {of - 1}")
    json.dump(list(drawn(json.loads(pathlib.Path(path).read_text()), seed, of)), sys.stdout, indent=1)


if __name__ == "__main__":
    main()
