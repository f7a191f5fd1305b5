-- Times are milliseconds since 1970 in UTC. Ids that people or models see are never used again (AUTOINCREMENT).

CREATE TABLE prompts (
    -- The system prompt and tool list that dialogs were begun with, shared by equal dialogs.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    digest TEXT NOT NULL UNIQUE,
    system TEXT NOT NULL,
    tools TEXT NOT NULL
) STRICT;

CREATE TABLE dialogs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    channel TEXT NOT NULL,
    chat TEXT NOT NULL,
    name TEXT NOT NULL,
    title TEXT NOT NULL DEFAULT '',
    archived INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    n_messages INTEGER NOT NULL DEFAULT 0,
    prompt INTEGER REFERENCES prompts(id),
    UNIQUE (channel, chat, name)
) STRICT;

CREATE INDEX dialogs_by_age ON dialogs (channel, chat, archived, updated_at);

CREATE TABLE chats (
    channel TEXT NOT NULL,
    chat TEXT NOT NULL,
    current INTEGER REFERENCES dialogs(id) ON DELETE SET NULL,
    PRIMARY KEY (channel, chat)
) STRICT, WITHOUT ROWID;

CREATE TABLE turns (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    dialog INTEGER NOT NULL REFERENCES dialogs(id) ON DELETE CASCADE,
    -- running, done, failed, stopped
    state TEXT NOT NULL,
    -- How often a process began or took up this turn.
    attempts INTEGER NOT NULL DEFAULT 1,
    started_at INTEGER NOT NULL,
    finished_at INTEGER
) STRICT;

CREATE INDEX turns_by_dialog ON turns (dialog);

CREATE TABLE messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    dialog INTEGER NOT NULL REFERENCES dialogs(id) ON DELETE CASCADE,
    turn INTEGER NOT NULL REFERENCES turns(id) ON DELETE CASCADE,
    role TEXT NOT NULL,
    parts TEXT NOT NULL,
    -- The provider's own form of an assistant message, for exact replay.
    provider TEXT,
    model TEXT,
    native TEXT,
    created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX messages_by_dialog ON messages (dialog, id);
CREATE INDEX messages_by_turn ON messages (turn);

CREATE TABLE media (
    -- The images of messages, each stored once; those that no message holds are deleted with the messages.
    id INTEGER PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    data BLOB NOT NULL
) STRICT;

CREATE TABLE message_media (
    message INTEGER NOT NULL REFERENCES messages(id) ON DELETE CASCADE,
    media INTEGER NOT NULL REFERENCES media(id),
    PRIMARY KEY (message, media)
) STRICT, WITHOUT ROWID;

CREATE INDEX message_media_by_media ON message_media (media);

CREATE TABLE inbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    source TEXT NOT NULL,
    -- The sender's own id of the message; the same id again is the same message.
    external_id TEXT,
    -- NULL for a command, which belongs to no dialog's history, and once the dialog is deleted.
    dialog INTEGER REFERENCES dialogs(id) ON DELETE SET NULL,
    sender TEXT,
    -- Emptied when the turn's messages hold the text.
    content TEXT NOT NULL,
    -- Of the text: the same id with another text is a mistake.
    fingerprint TEXT NOT NULL,
    turn INTEGER REFERENCES turns(id) ON DELETE SET NULL,
    -- NULL while open; done, failed, stopped.
    outcome TEXT,
    reply_kind TEXT,
    reply_code TEXT,
    reply TEXT,
    received_at INTEGER NOT NULL,
    UNIQUE (source, external_id)
) STRICT;

CREATE INDEX inbox_open ON inbox (dialog, id) WHERE outcome IS NULL;
CREATE INDEX inbox_by_dialog ON inbox (dialog);
CREATE INDEX inbox_by_turn ON inbox (turn);

CREATE TABLE attachments (
    -- Files that came with an input, as received; deleted when the input has ended.
    input INTEGER NOT NULL REFERENCES inbox(id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (input, position)
) STRICT;

CREATE TABLE tool_calls (
    -- Calls that may change something are written before they run.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    turn INTEGER NOT NULL REFERENCES turns(id) ON DELETE CASCADE,
    call_id TEXT NOT NULL,
    name TEXT NOT NULL,
    -- started, done, failed, stopped, interrupted
    state TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    took_ms INTEGER,
    result_bytes INTEGER
) STRICT;

CREATE INDEX tool_calls_by_turn ON tool_calls (turn);

CREATE TABLE model_calls (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    turn INTEGER REFERENCES turns(id) ON DELETE SET NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    purpose TEXT NOT NULL,
    outcome TEXT NOT NULL,
    input_tokens INTEGER,
    output_tokens INTEGER,
    cached_tokens INTEGER,
    reasoning_tokens INTEGER,
    -- NULL if price or tokens are unknown.
    cost REAL,
    currency TEXT,
    latency_ms INTEGER NOT NULL,
    first_token_ms INTEGER,
    attempts INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT;

CREATE INDEX model_calls_by_turn ON model_calls (turn);
CREATE INDEX model_calls_by_time ON model_calls (at) WHERE cost IS NOT NULL;

CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    channel TEXT NOT NULL,
    chat TEXT NOT NULL,
    body TEXT NOT NULL,
    -- Sent along, so that the far side can tell a repeat.
    idempotency_key TEXT NOT NULL UNIQUE,
    -- pending, started, sent, failed
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    error TEXT,
    created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX outbox_open ON outbox (id) WHERE state IN ('pending', 'started');
