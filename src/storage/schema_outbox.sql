-- What the outbox needs to try again at set times, to expire, and to show what it could not deliver.

-- message, or notice: says that messages were not delivered in time.
ALTER TABLE outbox ADD COLUMN kind TEXT NOT NULL DEFAULT 'message';
-- Since when it waits; a retry by hand begins anew.
ALTER TABLE outbox ADD COLUMN queued_at INTEGER NOT NULL DEFAULT 0;
-- Not tried before.
ALTER TABLE outbox ADD COLUMN due_at INTEGER NOT NULL DEFAULT 0;
-- When it was sent, failed, expired or dropped (these are the further states).
ALTER TABLE outbox ADD COLUMN finished_at INTEGER;

UPDATE outbox SET queued_at = created_at;
UPDATE outbox SET finished_at = created_at WHERE state NOT IN ('pending', 'started');

CREATE TABLE probes (
    -- Written to find out whether the disk takes writes again.
    id INTEGER PRIMARY KEY CHECK (id = 1),
    at INTEGER NOT NULL
) STRICT;
