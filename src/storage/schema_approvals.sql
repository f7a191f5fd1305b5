CREATE TABLE approvals (
    -- Questions to a person about one tool call each.
    id TEXT PRIMARY KEY,
    turn INTEGER NOT NULL REFERENCES turns(id) ON DELETE CASCADE,
    call_id TEXT NOT NULL,
    tool TEXT NOT NULL,
    -- Exactly what the model wrote; an answer holds for these letters only.
    arguments TEXT NOT NULL,
    -- What a person reads.
    summary TEXT NOT NULL,
    -- What "always" would be bound to; NULL if it cannot be remembered.
    subject TEXT,
    -- pending, allowed, denied, expired (nobody answered, or the turn ended), used (allowed, and the call began)
    state TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    decided_at INTEGER
) STRICT;

CREATE INDEX approvals_by_call ON approvals (turn, call_id);
CREATE INDEX approvals_pending ON approvals (turn) WHERE state = 'pending';

CREATE TABLE grants (
    -- Answers that hold for every later call of the same kind.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tool TEXT NOT NULL,
    subject TEXT NOT NULL,
    summary TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    n_used INTEGER NOT NULL DEFAULT 0,
    used_at INTEGER,
    UNIQUE (tool, subject)
) STRICT;
