-- What a call asked and what it got, as hashes: the guard against going in circles counts equal ones. NULL while it runs.
ALTER TABLE tool_calls ADD COLUMN call_hash INTEGER;
ALTER TABLE tool_calls ADD COLUMN result_hash INTEGER;
