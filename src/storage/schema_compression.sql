CREATE TABLE contexts (
    -- What of a dialog is sent to the model. One row at most; none: everything is sent as stored.
    dialog INTEGER PRIMARY KEY REFERENCES dialogs(id) ON DELETE CASCADE,
    -- The summary stands for the messages up to this one; 0 for none. They stay stored and people see them.
    upto INTEGER NOT NULL DEFAULT 0,
    -- A message at or before `upto` that is sent all the same: the request of a turn that was cut inside.
    request INTEGER,
    -- Tool results up to this message are sent shortened.
    shrunk INTEGER NOT NULL DEFAULT 0,
    -- Stands in front of what is sent.
    summary TEXT NOT NULL DEFAULT '',
    -- What the summary must not lose, as JSON: goes on from one summary to the next.
    facts TEXT NOT NULL DEFAULT '',
    -- Tokens of the last request with its answer as the service counted them; NULL: not known.
    tokens INTEGER,
    -- Summaries begun and not ended: a process died of them, or lost power.
    tries INTEGER NOT NULL DEFAULT 0,
    -- No summary is asked for before this time, unless a person wants one: the last attempt failed.
    rests_until INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE timeline (
    -- Dated memories: what happened in a dialog, written when it was compressed.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    dialog INTEGER NOT NULL REFERENCES dialogs(id) ON DELETE CASCADE,
    -- The turn that was compressed while it ran; its newest summary replaces its older ones.
    turn INTEGER REFERENCES turns(id) ON DELETE SET NULL,
    content TEXT NOT NULL,
    -- The first and last of the messages it tells of.
    began_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX timeline_by_dialog ON timeline (dialog, id);
CREATE INDEX timeline_by_turn ON timeline (turn);
CREATE INDEX timeline_by_time ON timeline (created_at);
