# A host that cannot be reached.

from __future__ import annotations

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = """
    name: down
    short_description: cannot be reached
    description: Fails whatever is tried.
    author: lariat
    options: {}
"""


class Connection(ConnectionBase):
    transport = "down"
    has_pipelining = True

    def _connect(self):
        raise AnsibleConnectionFailure("nobody is there")

    def exec_command(self, cmd, in_data=None, sudoable=True):
        self._connect()

    def put_file(self, in_path, out_path):
        self._connect()

    def fetch_file(self, in_path, out_path):
        self._connect()

    def close(self):
        pass
