#!/usr/bin/env python3
# An inventory that knows its job.

import json
import os

print(json.dumps({
    "cloud": {"hosts": ["small", "large"], "vars": {
        "region": "north", "ansible_connection": "local", "job_is_known": "LARIAT_JOB" in os.environ,
    }},
    "_meta": {"hostvars": {"small": {"size": 1}, "large": {"size": 100}}},
}))
