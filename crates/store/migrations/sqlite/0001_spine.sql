-- Times are milliseconds since the Unix epoch. `seq` is the order of commits
-- and the cursor of every list; nothing is ordered by a wall clock.

CREATE TABLE revisions (
    seq   INTEGER PRIMARY KEY,
    id    TEXT NOT NULL UNIQUE,
    -- The project's text, deflated JSON; absent until it is saved.
    text  BLOB,
    saved INTEGER
) STRICT;

-- The body is last so that scans over the other columns do not touch it.
CREATE TABLE events (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    id       TEXT NOT NULL UNIQUE,
    topic    TEXT NOT NULL,
    time     INTEGER NOT NULL,
    accepted INTEGER NOT NULL,
    source   TEXT NOT NULL,
    severity INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    hash     BLOB NOT NULL,
    origin   TEXT NOT NULL,
    headers  TEXT NOT NULL,
    body     TEXT NOT NULL
) STRICT;
-- An index of SQLite ends with the row id: each of these is also by `seq`.
CREATE INDEX events_topic ON events (topic);
CREATE INDEX events_source ON events (source);
-- Nearly all events are `info` (1): for those a scan is the index.
CREATE INDEX events_severity ON events (severity) WHERE severity <> 1;

-- Which part of the list a window of time is, exact to the minute whatever
-- the wall clock did, at one row a minute instead of an index entry an event.
CREATE TABLE event_minutes (
    minute    INTEGER PRIMARY KEY,
    first_seq INTEGER NOT NULL,
    last_seq  INTEGER NOT NULL,
    events    INTEGER NOT NULL
) STRICT;

CREATE TABLE jobs (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,
    event       INTEGER NOT NULL REFERENCES events (seq) ON DELETE CASCADE,
    rule        TEXT NOT NULL,
    revision    INTEGER NOT NULL,
    key         TEXT,
    state       TEXT NOT NULL,
    reason      TEXT,
    result      TEXT,
    next_step   INTEGER NOT NULL DEFAULT 0,
    -- When a retry may begin: the boot-time clock decides, the wall is shown.
    due_wall    INTEGER,
    due_boot    TEXT,
    due_until   INTEGER,
    failed      INTEGER NOT NULL DEFAULT 0,
    lost        INTEGER NOT NULL DEFAULT 0,
    -- The number of the last attempt: the fencing token.
    attempt     INTEGER NOT NULL DEFAULT 0,
    worker      TEXT,
    lease_boot  TEXT,
    lease_until INTEGER,
    cancel_by   TEXT,
    created     INTEGER NOT NULL,
    started     INTEGER,
    finished    INTEGER,
    plan        TEXT NOT NULL,
    UNIQUE (event, rule)
) STRICT;
CREATE INDEX jobs_state ON jobs (state);
CREATE INDEX jobs_rule ON jobs (rule);
CREATE INDEX jobs_due ON jobs (due_boot, due_until) WHERE state = 'retrying';
-- At most one job of a key may run or be about to.
CREATE UNIQUE INDEX jobs_key_holder ON jobs (key)
    WHERE key IS NOT NULL AND state IN ('queued', 'running', 'retrying', 'held');
CREATE INDEX jobs_key_waiting ON jobs (key) WHERE state = 'waiting';

CREATE TABLE job_minutes (
    minute    INTEGER PRIMARY KEY,
    first_seq INTEGER NOT NULL,
    last_seq  INTEGER NOT NULL
) STRICT;

-- What rules decided about an event, in order; never `no_match`.
CREATE TABLE verdicts (
    event    INTEGER NOT NULL REFERENCES events (seq) ON DELETE CASCADE,
    n        INTEGER NOT NULL,
    rule     TEXT NOT NULL,
    revision INTEGER NOT NULL,
    verdict  TEXT NOT NULL,
    reason   TEXT NOT NULL,
    job      INTEGER,
    -- How often a duplicate came.
    times    INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (event, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE attempts (
    job      INTEGER NOT NULL REFERENCES jobs (seq) ON DELETE CASCADE,
    number   INTEGER NOT NULL,
    worker   TEXT NOT NULL,
    started  INTEGER NOT NULL,
    finished INTEGER,
    -- The outcome as JSON; absent while it runs.
    outcome  TEXT,
    -- Output: 0 none, 1 as it came, 2 deflated.
    output   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (job, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX attempts_output ON attempts (output, finished) WHERE output > 0;

CREATE TABLE steps (
    job      INTEGER NOT NULL,
    attempt  INTEGER NOT NULL,
    step     INTEGER NOT NULL,
    kind     TEXT NOT NULL,
    state    TEXT NOT NULL,
    started  INTEGER NOT NULL,
    finished INTEGER,
    exit     TEXT,
    summary  TEXT,
    PRIMARY KEY (job, attempt, step),
    FOREIGN KEY (job, attempt) REFERENCES attempts (job, number) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE output (
    seq     INTEGER PRIMARY KEY,
    job     INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    step    INTEGER NOT NULL,
    -- Where in the output of its step this piece begins, and its length.
    start   INTEGER NOT NULL,
    size    INTEGER NOT NULL,
    -- 1: deflated.
    packed  INTEGER NOT NULL DEFAULT 0,
    bytes   BLOB NOT NULL,
    UNIQUE (job, attempt, step, start),
    FOREIGN KEY (job, attempt) REFERENCES attempts (job, number) ON DELETE CASCADE
) STRICT;

CREATE TABLE dead_letters (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    id        TEXT NOT NULL UNIQUE,
    kind      TEXT NOT NULL,
    state     TEXT NOT NULL,
    created   INTEGER NOT NULL,
    closed    INTEGER,
    closed_by TEXT,
    event_id  TEXT,
    rule      TEXT,
    job_id    TEXT,
    source    TEXT NOT NULL,
    cause     TEXT NOT NULL,
    -- Of a refused event: one open letter for one content is enough.
    hash      BLOB,
    raw       BLOB
) STRICT;
CREATE INDEX dead_letters_state ON dead_letters (state);
CREATE INDEX dead_letters_state_kind ON dead_letters (state, kind);
CREATE INDEX dead_letters_created ON dead_letters (created);
CREATE INDEX dead_letters_job ON dead_letters (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX dead_letters_event ON dead_letters (event_id) WHERE event_id IS NOT NULL;

-- Written by the probe to learn whether a write succeeds.
CREATE TABLE pulse (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    at  INTEGER NOT NULL
) STRICT;
