"""Device tests whose asserts tell their values on MicroPython too, where an AssertionError is empty."""

import ast
import re

_OPERATORS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.In: "in",
    ast.NotIn: "not in",
    ast.Is: "is",
    ast.IsNot: "is not",
}


def with_values(data: bytes) -> bytes:
    """Source in which each `assert left == right` reads `assert _compare("==", left, right)`, every line where it was.

    vm_runner puts `_compare` into builtins; it raises AssertionError with both values.
    """
    try:
        tree = ast.parse(data)
    except SyntaxError:
        return data
    starts = [0]
    for line in data.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    edits: list[tuple[int, int, bytes]] = []
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Assert) and node.msg is None and isinstance(node.test, ast.Compare) and len(node.test.ops) == 1):
            continue
        test, operator = node.test, _OPERATORS[type(node.test.ops[0])]
        left, right = test.left, test.comparators[0]
        begin = starts[test.lineno - 1] + test.col_offset
        end = starts[(test.end_lineno or 0) - 1] + (test.end_col_offset or 0)
        gap = (starts[(left.end_lineno or 0) - 1] + (left.end_col_offset or 0), starts[right.lineno - 1] + right.col_offset)
        between = data[slice(*gap)]
        place = re.fullmatch(rb"([\s)]*)" + operator.replace(" ", r"\s+").encode() + rb"([\s(]*)", between)
        if place is None:  # a comment or a line continuation: leave it alone
            continue
        edits.append((begin, begin, f'_compare("{operator}", '.encode()))
        lost_lines = between.count(b"\n") - place[1].count(b"\n") - place[2].count(b"\n")  # inside "not in"
        edits.append((gap[0], gap[1], place[1] + b", " + b"\n" * lost_lines + place[2]))
        edits.append((end, end, b")"))
    for begin, end, text in sorted(edits, reverse=True):
        data = data[:begin] + text + data[end:]
    return data
