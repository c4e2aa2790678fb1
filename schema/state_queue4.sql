-- state.sqlite, the queue: what the operator gives up.
ALTER TABLE QMessage ADD COLUMN qmExpire INTEGER NOT NULL DEFAULT 0; -- 1: goes back if the next attempt fails
