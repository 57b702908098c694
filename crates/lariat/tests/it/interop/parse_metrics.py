"""Reads metrics on standard input with Prometheus's own parsers.

The argument is the format, `text` or `openmetrics`. Prints the names of the
families and the number of their samples. What a parser refuses is an error.
"""

import sys


def main():
    if sys.argv[1] == "openmetrics":
        from prometheus_client.openmetrics.parser import text_string_to_metric_families
    else:
        from prometheus_client.parser import text_string_to_metric_families
    for family in text_string_to_metric_families(sys.stdin.read()):
        print(family.name, family.type, len(family.samples))


main()
