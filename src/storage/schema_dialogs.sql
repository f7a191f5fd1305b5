-- What a dialog and a chat remember of how people use them.

-- What happens to an input that comes while a turn runs: queue, steer, interrupt.
ALTER TABLE dialogs ADD COLUMN input_mode TEXT NOT NULL DEFAULT 'queue';

-- The dialogs of the list a chat was shown last, by row number, so that people can name them by their place in it.
ALTER TABLE chats ADD COLUMN listed TEXT NOT NULL DEFAULT '';
