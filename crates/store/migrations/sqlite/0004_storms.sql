-- Jobs that may not begin yet, and what throttles have let through.

-- Where the boot in which the store is used lies on the line of ticks: the
-- tick at which its boot-time clock was zero. See `model::flow::Steady`.
CREATE TABLE steady (
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    boot TEXT NOT NULL,
    zero INTEGER NOT NULL
) STRICT;

-- When a delayed job is due; the wall clock of it is in `due_wall`. Kept when
-- its delivery goes back.
ALTER TABLE jobs ADD COLUMN due_tick INTEGER;
-- When it begins at the latest, however often its rule fires again.
ALTER TABLE jobs ADD COLUMN latest_tick INTEGER;
-- What its rule's throttle counts it under (empty: the rule as a whole), and
-- the tick at which it has its place. Absent: it is not counted.
ALTER TABLE jobs ADD COLUMN throttle TEXT;
ALTER TABLE jobs ADD COLUMN place INTEGER;

CREATE INDEX jobs_delayed ON jobs (due_tick) WHERE state = 'delayed';
CREATE INDEX jobs_delayed_of ON jobs (rule, key) WHERE state = 'delayed';
CREATE INDEX jobs_throttle ON jobs (rule, throttle, place) WHERE throttle IS NOT NULL;

DROP INDEX jobs_delivery;
CREATE INDEX jobs_delivery ON jobs (delivery)
    WHERE delivery IS NOT NULL
    AND state IN ('waiting', 'delayed', 'queued', 'retrying', 'held');
