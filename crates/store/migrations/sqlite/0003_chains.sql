-- Which events are follow-ups, and of what.
CREATE TABLE causes (
    event INTEGER PRIMARY KEY REFERENCES events (seq) ON DELETE CASCADE,
    -- Ids, not numbers: the cause may be of another store, or have gone.
    cause TEXT NOT NULL,
    job   TEXT NOT NULL,
    hops  INTEGER NOT NULL,
    -- The first event of the chain, as far as it was known.
    root  TEXT NOT NULL
) STRICT;
CREATE INDEX causes_cause ON causes (cause);
CREATE INDEX causes_root ON causes (root);

-- The states of jobs that somebody wants to be told of, and the changes to
-- these that have not been told yet. They are noted here whoever makes them.
CREATE TABLE listened (
    state TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE TABLE job_changes (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    job     INTEGER NOT NULL REFERENCES jobs (seq) ON DELETE CASCADE,
    state   TEXT NOT NULL,
    reason  TEXT,
    attempt INTEGER NOT NULL,
    result  TEXT
) STRICT;
CREATE INDEX job_changes_job ON job_changes (job);

CREATE TRIGGER jobs_made AFTER INSERT ON jobs
WHEN EXISTS (SELECT 1 FROM listened WHERE state = NEW.state)
BEGIN
    INSERT INTO job_changes (job, state, reason, attempt, result)
    VALUES (NEW.seq, NEW.state, NEW.reason, NEW.attempt, NEW.result);
END;

CREATE TRIGGER jobs_changed AFTER UPDATE OF state ON jobs
WHEN NEW.state <> OLD.state AND EXISTS (SELECT 1 FROM listened WHERE state = NEW.state)
BEGIN
    INSERT INTO job_changes (job, state, reason, attempt, result)
    VALUES (NEW.seq, NEW.state, NEW.reason, NEW.attempt, NEW.result);
END;
