#!/usr/bin/python
# Copyright: the Lariat developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Publishes an event to Lariat."""

from __future__ import annotations

DOCUMENTATION = r"""
module: publish
short_description: Publish an event to Lariat
version_added: 0.1.0
author:
  - The Lariat developers (!UNKNOWN)
description:
  - Publishes one event to a Lariat service over HTTP. When the task has succeeded the event is durable.
  - The request is made where the task runs. To make it from the controller, say C(delegate_to=localhost).
options:
  topic:
    description:
      - Words joined by dots, such as V(org.example.build.done). V(lariat) is not the first of them.
    type: str
    required: true
  body:
    description:
      - What the event says. Any value that JSON has.
    type: raw
    default: {}
  severity:
    description:
      - How much it matters.
    type: str
    choices: [debug, info, warning, error]
    default: info
  headers:
    description:
      - Headers of the event.
    type: dict
    default: {}
  id:
    description:
      - The id of the event, 1 to 200 of C([A-Za-z0-9._:@-]). An event that comes again under its id makes nothing new.
      - Without it and without O(idempotent) the service makes one.
    type: str
  idempotent:
    description:
      - Computes O(id) from topic, severity, headers and body, so that the same event is taken once,
        however often the playbook runs.
    type: bool
    default: false
  url:
    description:
      - The address of the service.
      - The environment variable E(LARIAT_URL) stands in for it.
    type: str
    default: http://127.0.0.1:8470
  token:
    description:
      - A token with the role publisher. Without it the service has to be open to its own machine.
      - The environment variable E(LARIAT_TOKEN) stands in for it.
    type: str
  ca:
    description:
      - A file with certificates in PEM form that the service has to be proven by, beside the machine's.
      - The environment variable E(LARIAT_CA) stands in for it.
    type: path
  timeout:
    description:
      - Seconds until the service has to have answered.
    type: int
    default: 30
attributes:
  check_mode:
    description: Reports the event that would be published. The service is not asked.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
seealso:
  - plugin: lariat.lariat.event
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Say that the compose is synced
  lariat.lariat.publish:
    topic: org.example.compose.synced
    body:
      compose: "{{ msg.compose_id }}"
      hosts: "{{ ansible_play_hosts }}"
    url: https://lariat.example.org
    token: "{{ lariat_token }}"
  delegate_to: localhost
  run_once: true

- name: Announce a release once, however often this runs
  lariat.lariat.publish:
    topic: org.example.release
    body: {version: "{{ version }}"}
    severity: warning
    idempotent: true
"""

RETURN = r"""
id:
  description: The id of the event; in check mode only when it is known before.
  returned: success
  type: str
  sample: 2026-0192f7c3
duplicate:
  description: Whether the event was there already. Nothing was made then.
  returned: when not in check mode
  type: bool
jobs:
  description: The jobs that the event made, or had made when it came first.
  returned: when not in check mode
  type: list
  elements: str
event:
  description: The event as it was sent, or would have been.
  returned: success
  type: dict
"""

import json

from ansible.module_utils.basic import AnsibleModule, env_fallback
from ansible.module_utils.common.text.converters import to_bytes, to_text
from ansible.module_utils.urls import fetch_url

from ansible_collections.lariat.lariat.plugins.module_utils import api


def wanted(params):
    """The event that the task describes."""
    event = dict((name, params[name]) for name in ("topic", "severity", "headers", "body"))
    if params["id"]:
        event["id"] = params["id"]
    elif params["idempotent"]:
        event["id"] = api.event_id(event)
    return event


def send(module, event):
    """What the service answered about the event. It does not return otherwise."""
    params = module.params
    # A redirect would show the token to another place, and lose the body.
    params["follow_redirects"] = "none"
    headers = api.request_headers(params["token"])
    headers["Content-Type"] = "application/json"
    try:
        url = api.address(params["url"], "events")
    except api.BadUrl as error:
        module.fail_json(msg=to_text(error))
    response, info = fetch_url(
        module,
        url,
        data=to_bytes(json.dumps(event)),
        headers=headers,
        method="POST",
        timeout=params["timeout"],
        ca_path=params["ca"],
        use_netrc=False,
    )
    status = info["status"]
    # What came with a refusal has been read already.
    body = info.get("body") or (response.read() if response is not None else b"")
    if status == -1:
        module.fail_json(msg="the service at `%s` cannot be reached: %s" % (params["url"], info["msg"]))
    if status != 202:
        module.fail_json(msg="the event was not taken: %s" % api.problem(status, body), status=status)
    try:
        return json.loads(to_text(body))["events"][0]
    except (ValueError, LookupError, TypeError):
        module.fail_json(msg="what answers at `%s` is not Lariat" % params["url"], status=status)


def main():
    """Runs the module."""
    module = AnsibleModule(
        argument_spec=dict(
            topic=dict(type="str", required=True),
            body=dict(type="raw", default={}),
            severity=dict(type="str", default="info", choices=["debug", "info", "warning", "error"]),
            headers=dict(type="dict", default={}),
            id=dict(type="str"),
            idempotent=dict(type="bool", default=False),
            url=dict(type="str", default=api.DEFAULT_URL, fallback=(env_fallback, ["LARIAT_URL"])),
            token=dict(type="str", no_log=True, fallback=(env_fallback, ["LARIAT_TOKEN"])),
            ca=dict(type="path", fallback=(env_fallback, ["LARIAT_CA"])),
            timeout=dict(type="int", default=30),
        ),
        mutually_exclusive=[("id", "idempotent")],
        supports_check_mode=True,
    )
    event = wanted(module.params)
    if module.check_mode:
        module.exit_json(changed=True, id=event.get("id"), event=event)
    answer = send(module, event)
    if answer.get("conflict"):
        module.fail_json(
            msg="another event has the id `%s`; what was sent is kept as a dead letter" % answer.get("id"),
            id=answer.get("id"),
        )
    module.exit_json(
        changed=not answer.get("duplicate"),
        id=answer.get("id"),
        duplicate=bool(answer.get("duplicate")),
        jobs=answer.get("jobs", []),
        event=event,
    )


if __name__ == "__main__":
    main()
