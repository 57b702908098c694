-- What a broker holds until it is acknowledged, and what goes on to sinks.

-- The worker whose delivery a job belongs to; absent: the store answers for it.
ALTER TABLE jobs ADD COLUMN delivery TEXT;

-- In order within a state, and enough by itself to pass over the queued jobs
-- of a delivery that may not be begun now.
DROP INDEX jobs_state;
CREATE INDEX jobs_state ON jobs (state, seq, delivery);
-- What can be given back.
CREATE INDEX jobs_delivery ON jobs (delivery)
    WHERE delivery IS NOT NULL AND state IN ('waiting', 'queued', 'retrying', 'held');

-- An event waits for a sink once. It stays as long as it does: the reference
-- refuses to let it go.
CREATE TABLE outbox (
    seq   INTEGER PRIMARY KEY AUTOINCREMENT,
    sink  TEXT NOT NULL,
    event INTEGER NOT NULL REFERENCES events (seq),
    UNIQUE (event, sink)
) STRICT;
CREATE INDEX outbox_sink ON outbox (sink);

-- Bytes that were kept before, while that letter is open.
CREATE INDEX dead_letters_hash ON dead_letters (hash)
    WHERE hash IS NOT NULL AND state = 'open';
