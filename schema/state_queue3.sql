-- state.sqlite, the queue: what was never tried does not wait behind what was.
DROP INDEX QRecipientDue;
CREATE INDEX QRecipientDue ON QRecipient (qrDue) WHERE qrState = 0 AND qrAttempts > 0;
CREATE INDEX QRecipientNew ON QRecipient (qrDue) WHERE qrState = 0 AND qrAttempts = 0;
