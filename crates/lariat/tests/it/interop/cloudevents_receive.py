"""An HTTP server that takes CloudEvents with their SDK.

Prints its port, then each event that was posted to it as one line. The SDK
refuses what is not a CloudEvent, and the server answers 400 then.
"""

import base64
import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

try:
    # Version 2 of the SDK.
    from cloudevents.core.bindings import http as binding

    def decode(headers, body):
        message = binding.HTTPMessage(headers=headers, body=body)
        event = binding.from_http_event(message)
        return event.get_attributes(), event.get_data()

except ImportError:
    from cloudevents.http import from_http

    def decode(headers, body):
        event = from_http(headers, body)
        return event.get_attributes(), event.get_data()


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            attributes, data = decode(dict(self.headers.items()), body)
        except Exception as error:
            print(f"not a CloudEvent: {error!r}: {body!r}", file=sys.stderr)
            self.send_error(400)
            return
        if isinstance(data, bytes):
            data = {"bytes": base64.b64encode(data).decode()}
        seen = {
            "attributes": {name: str(value) for name, value in attributes.items()},
            "data": data,
            "content-type": self.headers["content-type"],
        }
        print(json.dumps(seen), flush=True)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def main():
    server = HTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


main()
