-- Whether the sender may not have the machine changed: a member of a group who is not an owner.
ALTER TABLE inbox ADD COLUMN guest INTEGER NOT NULL DEFAULT 0;
