-- What playbooks tell about their tasks, as long as the output of the attempt:
-- one that has told something has `attempts.output` set.

CREATE TABLE task_events (
    job     INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    -- The place among those of the attempt, from 1.
    n       INTEGER NOT NULL,
    step    INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    kind    TEXT NOT NULL,
    host    TEXT,
    status  TEXT,
    -- The whole of it, as JSON.
    data    TEXT NOT NULL,
    PRIMARY KEY (job, attempt, n),
    FOREIGN KEY (job, attempt) REFERENCES attempts (job, number) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- The recaps among them once more: lists of jobs say which hosts changed.
CREATE TABLE task_recaps (
    job         INTEGER NOT NULL,
    step        INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    host        TEXT NOT NULL,
    has_failed  INTEGER NOT NULL,
    has_changed INTEGER NOT NULL,
    PRIMARY KEY (job, step, attempt, host),
    FOREIGN KEY (job, attempt) REFERENCES attempts (job, number) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
