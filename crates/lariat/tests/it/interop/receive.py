"""A callback for `fedora-messaging consume`.

Writes what it receives to the file that `SEEN` names, one object a line. The
consumer has validated each message against the schema of its class before it
comes here; what is invalid never does. It is validated once more, so that the
test does not lean on that.
"""

import json
import os


def receive(message):
    message.validate()
    seen = {
        "id": message.id,
        "topic": message.topic,
        "body": message.body,
        "severity": message.severity,
        "priority": message.priority,
        "class": type(message).__name__,
        "summary": message.summary,
        "headers": message._headers,
    }
    with open(os.environ["SEEN"], "a", encoding="utf-8") as file:
        file.write(json.dumps(seen) + "\n")
