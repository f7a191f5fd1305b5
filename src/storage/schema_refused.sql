-- Whether the model sees nothing of the turn: it was declined, and would be declined again. People see it.
ALTER TABLE turns ADD COLUMN left_out INTEGER NOT NULL DEFAULT 0;
CREATE INDEX turns_left_out ON turns (dialog) WHERE left_out = 1;
