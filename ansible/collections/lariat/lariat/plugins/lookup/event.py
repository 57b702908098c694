# Copyright: the Lariat developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Looks up events in Lariat's history, or the event that a run is for."""

from __future__ import annotations

DOCUMENTATION = r"""
name: event
short_description: An event of Lariat's history, or the one that this run is for
version_added: 0.1.0
author:
  - The Lariat developers (!UNKNOWN)
description:
  - With ids, looks each event up in the history of a Lariat service.
  - Without one, gives the event that this run is for, from the file that Lariat names in E(LARIAT_EVENT_FILE).
    No service is asked then. It is there in playbooks that Lariat runs and with C(lariat jobs rerun --local).
  - What an event says is data. Ansible marks it as unsafe, and templates nothing of it.
options:
  _terms:
    description: Ids of events.
    type: list
    elements: str
  url:
    description: The address of the service.
    type: str
    default: http://127.0.0.1:8470
    env:
      - name: LARIAT_URL
    vars:
      - name: lariat_url
  token:
    description: A token with the role viewer. Without it the service has to be open to its own machine.
    type: str
    env:
      - name: LARIAT_TOKEN
    vars:
      - name: lariat_token
  ca:
    description: A file with certificates in PEM form that the service has to be proven by, beside the machine's.
    type: path
    env:
      - name: LARIAT_CA
    vars:
      - name: lariat_ca
  timeout:
    description: Seconds until the service has to have answered.
    type: int
    default: 30
seealso:
  - module: lariat.lariat.publish
"""

EXAMPLES = r"""
- name: Say what this run is for
  ansible.builtin.debug:
    msg: "{{ lookup('lariat.lariat.event').topic }}"

- name: Look at the event that came before
  ansible.builtin.debug:
    msg: "{{ lookup('lariat.lariat.event', event.cause.event, url='https://lariat.example.org').body }}"
"""

RETURN = r"""
_raw:
  description: Each event, as C(GET /api/v1/events/{id}) gives it.
  type: list
  elements: dict
"""

import json
import os
from urllib.error import HTTPError

from ansible.errors import AnsibleError
from ansible.module_utils.common.text.converters import to_text
from ansible.module_utils.urls import ConnectionError, SSLValidationError, open_url
from ansible.plugins.lookup import LookupBase

from ansible_collections.lariat.lariat.plugins.module_utils import api


def of_this_run():
    """The event that Lariat started this run for."""
    path = os.environ.get("LARIAT_EVENT_FILE")
    if not path:
        raise AnsibleError(
            "this playbook was not started by Lariat, so there is no event that it is for: name the id of one"
        )
    try:
        with open(path, "rb") as file:
            return json.loads(to_text(file.read()))
    except (OSError, ValueError) as error:
        raise AnsibleError("the event of this run cannot be read from `%s`: %s" % (path, to_text(error)))


class LookupModule(LookupBase):
    """The lookup `lariat.lariat.event`."""

    def run(self, terms, variables=None, **kwargs):
        """One event for each id."""
        self.set_options(var_options=variables, direct=kwargs)
        if not terms:
            return [of_this_run()]
        return [self.fetch(to_text(term)) for term in terms]

    def fetch(self, name):
        """An event of the history."""
        url = self.get_option("url")
        if not name:
            raise AnsibleError("the id of an event is not empty")
        try:
            response = open_url(
                api.address(url, "events", name),
                headers=api.request_headers(self.get_option("token")),
                timeout=self.get_option("timeout"),
                ca_path=self.get_option("ca"),
                follow_redirects="none",
                use_netrc=False,
            )
            event = json.loads(to_text(response.read()))
        except api.BadUrl as error:
            raise AnsibleError(to_text(error))
        except HTTPError as error:
            if error.code == 404:
                raise AnsibleError("there is no event `%s` in the history of `%s`" % (name, url))
            raise AnsibleError("the event `%s` was not given: %s" % (name, api.problem(error.code, error.read())))
        except (OSError, SSLValidationError, ConnectionError) as error:
            raise AnsibleError("the service at `%s` cannot be reached: %s" % (url, to_text(error)))
        except ValueError:
            event = None
        if not isinstance(event, dict) or "topic" not in event:
            raise AnsibleError("what answers at `%s` is not Lariat" % url)
        return event
