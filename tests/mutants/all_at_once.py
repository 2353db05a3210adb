#!/usr/bin/env python3
"""Puts many mutants into one program, of which a run chooses one: built once and optimised, where each would be built alone.

    all_at_once.py PACKAGE LIST RUNNER

LIST is what `cargo mutants --list --json` says of the package. Each mutated function is written with all its variants, the compiler is
asked which of them it refuses, and RUNNER PROGRAM is run for each of the others, with its number in $MUTANT. Left out is also what
needs the function as a whole: constants, constant functions, one of several opaque types. Fails when fewer than 90 % are caught.
"""

import json
import os
import pathlib
import random
import re
import subprocess
import sys

# Percent.
AT_LEAST = 90

# How the test program names a test that failed.
FAILED = re.compile(r"^---- (\S+) stdout ----$", re.MULTILINE)

CHOICE = """
/// Which of the variants runs: none where nothing is asked for.
pub fn mutant() -> u32 {
    static CHOSEN: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    *CHOSEN.get_or_init(|| std::env::var("MUTANT").map_or(0, |text| text.parse().unwrap_or(0)))
}
"""


def offset(starts, place):
    return starts[place["line"] - 1] + place["column"] - 1


def body_of(text, start, end):
    """Where the braces of a function are, from its signature's first character on; strings and comments have none there."""
    at, depth = start, 0
    while at < end:
        if text[at] in "([":
            depth += 1
        elif text[at] in ")]":
            depth -= 1
        elif text[at] == "{" and depth == 0:
            return at, end - 1
        at += 1
    raise ValueError(text[start:end])


def weave(package, mutants):
    """Writes the sources anew; returns which lines of which file are whose."""
    for pristine in package.rglob("src/**/*.rs.orig"):
        pristine.with_suffix("").write_text(pristine.read_text())
    files = {}
    for number, mutant in mutants.items():
        if mutant["function"]:
            files.setdefault(mutant["file"], []).append((number, mutant))
    lines_of = {}
    for file, within in files.items():
        path = package / file
        pristine = path.with_suffix(".rs.orig")
        if not pristine.exists():
            pristine.write_text(path.read_text())
        text = pristine.read_text()
        starts = [0]
        for line in text.splitlines(keepends=True):
            starts.append(starts[-1] + len(line))
        span = lambda s: (offset(starts, s["start"]), offset(starts, s["end"]))
        functions = {}
        for number, mutant in within:
            functions.setdefault(span(mutant["function"]["span"]), []).append((number, mutant))
        out, done = "", 0
        for (start, end), variants in sorted(functions.items()):
            if start < done:
                continue  # A function within a function.
            opening, closing = body_of(text, start, end)
            if re.search(r"\bconst\b", text[start:opening]):
                continue  # It can be called where nothing is chosen yet.
            out += text[done:opening] + "{ match crate::mutant() {\n"
            for number, mutant in variants:
                at, to = span(mutant["span"])
                changed = text[opening:at] + mutant["replacement"] + text[to : closing + 1]
                first = out.count("\n") + 1
                out += f"{number} => {changed}\n"
                lines_of[number] = (file, first, out.count("\n"))
            out += "_ => " + text[opening : closing + 1] + "\n} }"
            done = end
        path.write_text(out + text[done:])
    return lines_of


def refused(package, lines_of):
    """The variants in which the compiler finds errors, and every error that is in none."""
    command = ["cargo", "check", "--tests", "--message-format=json", "--quiet"]
    said = subprocess.run(command, cwd=package, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    bad, elsewhere = set(), []
    for line in said.splitlines():
        message = json.loads(line).get("message") or {}
        if message.get("level") != "error" or not message.get("spans"):
            continue
        places = sorted(message["spans"], key=lambda s: not s["is_primary"])
        whose = [
            number
            for place in places
            for number, (file, first, last) in lines_of.items()
            if place["file_name"] == file and first <= place["line_start"] <= last
        ]
        if whose:
            bad.add(whose[0])
        else:
            elsewhere.append(message["rendered"])
    return bad, elsewhere


def weave_what_compiles(package, listed):
    """Names of the mutants that are in the program, by number."""
    mutants = dict(enumerate(listed, 1))
    while True:
        lines_of = weave(package, mutants)
        bad, elsewhere = refused(package, lines_of)
        print(f"{len(lines_of)} variants, {len(bad)} of them refused by the compiler", file=sys.stderr, flush=True)
        if elsewhere and not bad:
            sys.exit("errors in no variant:\n" + elsewhere[0])
        if not bad:
            return {number: mutants[number]["name"] for number in lines_of}
        for number in bad:
            del mutants[number]


def main():
    package, runner = (pathlib.Path(sys.argv[at]).resolve() for at in (1, 3))
    with open(sys.argv[2]) as file:
        listed = json.load(file)
    library = package / "src/lib.rs"
    library.write_text(library.read_text() + CHOICE)
    names = weave_what_compiles(package, listed)
    command = ["cargo", "test", "--no-run", "--message-format=json", "--quiet"]
    built = subprocess.run(command, cwd=package, stdout=subprocess.PIPE, text=True, check=True).stdout
    program = next(p for p in (json.loads(line).get("executable") for line in built.splitlines()) if p)

    # Which test noticed which mutant the last time: it is asked first, so that a second run is quick and one broken off goes on.
    noticed_file = package.parent / "noticed.json"
    noticed = json.loads(noticed_file.read_text()) if noticed_file.exists() else {}

    def run(number, *first):
        environment = os.environ | {"MUTANT": str(number)}
        command = [runner, program, *first]
        return subprocess.run(command, cwd=package, env=environment, capture_output=True, encoding="utf-8", errors="replace")

    if run(0).returncode != 0:
        sys.exit("the tests fail without any mutant")
    # In no order, so that what is known when it is broken off is a sample of the whole, too.
    numbers = random.Random(1).sample(list(names), len(names))
    missed = 0
    for tried, number in enumerate(numbers, 1):
        name = names[number]
        ran = run(number, *noticed.get(name, []))
        if ran.returncode == 0:
            missed += 1
            noticed.pop(name, None)
            print(f"MISSED {name}", flush=True)
        else:
            noticed[name] = FAILED.findall(ran.stdout)[:1]
        noticed_file.write_text(json.dumps(noticed, indent=1, sort_keys=True))
        if tried % 25 == 0:
            print(f"{tried} of {len(names)}, {missed} missed", file=sys.stderr, flush=True)
    caught = len(names) - missed
    percent = 100 * caught / len(names)
    print(f"of {len(listed)} mutants {len(names)} compile: {caught} caught, {missed} missed, {percent:.1f} %")
    sys.exit(percent < AT_LEAST)


if __name__ == "__main__":
    main()
