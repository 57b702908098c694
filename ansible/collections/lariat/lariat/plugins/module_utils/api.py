# Copyright: the Lariat developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""What the module and the lookup know about Lariat's HTTP interface.

Nothing here opens a connection: modules and lookups have different ways to do
that, and tests need none.
"""

from __future__ import annotations

import hashlib
import json
from urllib.parse import quote, urlsplit

from ansible.module_utils.common.text.converters import to_bytes, to_text

DEFAULT_URL = "http://127.0.0.1:8470"
# Longer texts of a service that is not ours help nobody.
TEXT_MAX = 300


class BadUrl(ValueError):
    """The address of the service cannot be one."""


def address(url, *parts):
    """The address of something in the interface below the service's own."""
    found = urlsplit(url)
    if found.scheme not in ("http", "https") or not found.netloc:
        raise BadUrl("`%s` is not the address of a service, such as %s" % (url, DEFAULT_URL))
    if found.username or found.password:
        raise BadUrl("the address of the service holds a name or a password: use `token`")
    if found.query or found.fragment:
        raise BadUrl("the address of the service ends before `?` and `#`")
    path = "/".join(quote(to_bytes(part), safe="") for part in ("api", "v1") + parts)
    return "%s/%s" % (url.rstrip("/"), path)


def request_headers(token):
    """What every request carries. Without a token the service has to be open."""
    headers = {"Accept": "application/json"}
    if token:
        headers["Authorization"] = "Bearer %s" % token
    return headers


def event_id(event):
    """An id that is the same for the same event, so that it is taken once."""
    text = json.dumps(event, sort_keys=True, separators=(",", ":"))
    return "ansible-%s" % hashlib.sha256(to_bytes(text)).hexdigest()


def problem(status, body):
    """What the service says is wrong, in one line."""
    try:
        answer = json.loads(to_text(body))
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or "detail" not in answer:
        text = to_text(body or b"", errors="replace").strip()
        return "status %s%s" % (status, ": %s" % text[:TEXT_MAX] if text else "")
    lines = [to_text(answer["detail"])]
    for error in answer.get("errors") or []:
        field = error.get("field")
        message = to_text(error.get("message", ""))
        lines.append("`%s`: %s" % (field, message) if field else message)
    code = answer.get("code")
    return "%s (status %s%s)" % ("; ".join(lines), status, ", %s" % code if code else "")
