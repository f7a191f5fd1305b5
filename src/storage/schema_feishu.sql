-- What Feishu and Lark bots must know after a restart, and which input a delivery answers.

ALTER TABLE outbox ADD COLUMN input INTEGER REFERENCES inbox(id) ON DELETE SET NULL;

CREATE INDEX outbox_by_input ON outbox (input);

CREATE TABLE feishu_events (
    -- Every message event that was acknowledged; the same id again is the same message.
    channel TEXT NOT NULL,
    message TEXT NOT NULL,
    -- oc_…, and p2p or group.
    chat TEXT NOT NULL,
    chat_type TEXT NOT NULL,
    -- omt_…, if it stands in a topic.
    thread TEXT,
    -- The event as received; emptied when the session has taken the message.
    event TEXT NOT NULL,
    is_open INTEGER NOT NULL DEFAULT 1,
    -- What the bot put on or under the message and has not ended yet.
    reaction TEXT,
    card TEXT,
    card_message TEXT,
    card_at INTEGER,
    received_at INTEGER NOT NULL,
    PRIMARY KEY (channel, message)
) STRICT, WITHOUT ROWID;

CREATE INDEX feishu_events_open ON feishu_events (channel, received_at) WHERE is_open = 1;
CREATE INDEX feishu_events_by_chat ON feishu_events (channel, chat, received_at);
CREATE INDEX feishu_events_by_age ON feishu_events (received_at);

CREATE TABLE feishu_people (
    -- Who was let in by a pairing code.
    channel TEXT NOT NULL,
    person TEXT NOT NULL,
    is_owner INTEGER NOT NULL,
    paired_at INTEGER NOT NULL,
    PRIMARY KEY (channel, person)
) STRICT, WITHOUT ROWID;
