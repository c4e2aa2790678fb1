-- state.sqlite, the queue by destination: what waits for one that is dead is
-- put off together.
CREATE INDEX QRecipientSite ON QRecipient (qrSite, qrDue) WHERE qrState = 0;

-- 1: the mailbox for what was put apart (quarantine, junk) takes it.
ALTER TABLE QRecipient ADD COLUMN qrApart INTEGER NOT NULL DEFAULT 0;
