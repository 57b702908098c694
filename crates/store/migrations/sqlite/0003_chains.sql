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
