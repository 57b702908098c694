"""Publishes with fedora-messaging what standard input says.

Each line is an object with `schema`, `topic`, `body` and optionally
`severity` and `priority`; the id of each message is printed. The messages are
of the classes that the schema packages register, and are validated before
they leave, as every application does it.
"""

import json
import sys

from fedora_messaging import api, message


def main():
    for line in sys.stdin:
        wanted = json.loads(line)
        kind = message.get_class(wanted.pop("schema"))
        priority = wanted.pop("priority", None)
        made = kind(**wanted)
        if priority is not None:
            made.priority = priority
        made.validate()
        api.publish(made)
        print(made.id, flush=True)


main()
