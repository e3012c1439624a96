"""What build/bench.json holds, as Markdown: how Redpoll compares, and every table."""

import argparse
import re
import sys
from pathlib import Path

from tools.bench import results, tables
from tools.paths import ROOT

DOCUMENT = ROOT / "docs" / "figures.md"
README = ROOT / "README.md"
_MARKED = re.compile(r"(<!-- figures: begin -->\n).*?(<!-- figures: end -->)", re.DOTALL)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `redpoll bench table`."""
    parser.add_argument("--write", action="store_true", help="docs/figures.md, docs/growth-*.svg and the table in README.md")


def run(args: argparse.Namespace) -> int:
    """Print it, or write it. Returns 2 when there are no figures, or nothing to draw plots with."""
    try:
        figures = results.read()
    except ValueError as error:
        print(f"redpoll bench table: {error}", file=sys.stderr)
        return 2
    if not figures:
        print("redpoll bench table: nothing is measured yet; make bench, or redpoll bench NAME", file=sys.stderr)
        return 2
    if not args.write:
        print(tables.document(figures), end="")
        return 0
    try:
        from tools.bench import plots
    except ImportError as error:
        print(f"redpoll bench table: {error}; make figures installs it", file=sys.stderr)
        return 2
    DOCUMENT.write_text(tables.document(figures))
    written = [DOCUMENT, *plots.write(figures, DOCUMENT.parent)]
    all_of_it = f"{tables.conditions(figures)} All of it, with plots: [docs/figures.md](docs/figures.md)."
    if put_between_marks(README, [*tables.comparison(figures), "", all_of_it]):
        written.append(README)
    for path in written:
        print(path.relative_to(ROOT))
    return 0


def put_between_marks(document: Path, lines: list[str]) -> bool:
    """Replace what stands between `<!-- figures: begin -->` and `<!-- figures: end -->`; False for a document without these marks."""
    text = document.read_text()
    if not _MARKED.search(text):
        return False
    document.write_text(_MARKED.sub(lambda found: found[1] + "\n".join(["", *lines, "", ""]) + found[2], text))
    return True
