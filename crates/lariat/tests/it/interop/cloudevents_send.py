"""Sends CloudEvents with their SDK, as standard input says, to the URL given.

Each line is an object with `mode` (`structured`, `binary` or `batch`) and
`events`, each of them with `attributes` and one of `data`, `bytes` (base64)
or neither. The status and the body of each answer are printed as one line.
"""

import base64
import http.client
import json
import sys
import urllib.parse

try:
    # Version 2 of the SDK.
    from cloudevents.core.bindings import http as binding
    from cloudevents.core.v1.event import CloudEvent
    from dateutil.parser import isoparse

    def event(attributes, data):
        if "time" in attributes:
            attributes["time"] = isoparse(attributes["time"])
        return CloudEvent(attributes, data)

    def encode(made, mode):
        write = binding.to_binary_event if mode == "binary" else binding.to_structured_event
        message = write(made)
        return message.headers, message.body

except ImportError:
    from cloudevents.conversion import to_binary, to_structured
    from cloudevents.http import CloudEvent

    def event(attributes, data):
        return CloudEvent(attributes, data)

    def encode(made, mode):
        return (to_binary if mode == "binary" else to_structured)(made)


def data(wanted):
    if "bytes" in wanted:
        return base64.b64decode(wanted["bytes"])
    return wanted.get("data")


def request(wanted):
    mode = wanted["mode"]
    made = [encode(event(one["attributes"], data(one)), mode) for one in wanted["events"]]
    if mode == "batch":
        batch = [json.loads(body) for _, body in made]
        return {"content-type": "application/cloudevents-batch+json"}, json.dumps(batch)
    (only,) = made
    return only


def main():
    url = urllib.parse.urlsplit(sys.argv[1])
    for line in sys.stdin:
        headers, body = request(json.loads(line))
        connection = http.client.HTTPConnection(url.netloc)
        connection.request("POST", "/api/v1/events", body, headers)
        reply = connection.getresponse()
        answer = {"status": reply.status, "body": json.loads(reply.read())}
        print(json.dumps(answer), flush=True)


main()
