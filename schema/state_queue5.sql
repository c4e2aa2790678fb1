-- A further version of state.sqlite: why mail of strangers was taken, for mailboxes here.

ALTER TABLE QMessage ADD COLUMN qmReason TEXT NOT NULL DEFAULT ''; -- a header line without its end
