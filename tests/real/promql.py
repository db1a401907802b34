"""Reads a JSON list of PromQL expressions on standard input; prints, for each, what it
selects and which labels it groups by. Fails on the first that can't be parsed."""
import json
import sys

import promql_parser
from promql_parser import AggregateExpr, BinaryExpr, Call, MatrixSelector, VectorSelector


def children(expr):
    if isinstance(expr, BinaryExpr):
        return [expr.lhs, expr.rhs]
    if isinstance(expr, Call):
        return list(expr.args)
    if isinstance(expr, MatrixSelector):
        return [expr.vector_selector]
    inner = getattr(expr, "expr", None)
    return [inner] if inner is not None else []


def visit(expr, found):
    if isinstance(expr, VectorSelector):
        matchers = [[m.name, m.value] for m in expr.matchers.matchers]
        found["selectors"].append({"metric": expr.name, "matchers": matchers})
    if isinstance(expr, AggregateExpr) and expr.modifier is not None:
        found["groups"].extend(expr.modifier.labels)
    for child in children(expr):
        visit(child, found)


answers = []
for text in json.load(sys.stdin):
    try:
        parsed = promql_parser.parse(text)
    except ValueError as why:
        sys.exit(f"{text}\n{why}")
    found = {"selectors": [], "groups": []}
    visit(parsed, found)
    answers.append(found)
json.dump(answers, sys.stdout)
