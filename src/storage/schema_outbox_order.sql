-- What is open for one chat, in order: nothing overtakes an earlier delivery of its chat.
CREATE INDEX outbox_open_by_chat ON outbox (channel, chat, id) WHERE state IN ('pending', 'started');
