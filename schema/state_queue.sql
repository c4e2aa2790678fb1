-- state.sqlite, the queue: mail that waits for its next hop. The text of a
-- message is the file spool/queue/ID; it is there before its rows are, and
-- goes after them.

CREATE TABLE QMessage (
  qmId      TEXT PRIMARY KEY,                -- queue ID; sorts by time of arrival
  qmArrived INTEGER NOT NULL,                -- Unix time
  qmSize    INTEGER NOT NULL,                -- bytes of the message as it came in
  qmSender  TEXT NOT NULL,                   -- '' is the null sender
  qmBody    TEXT NOT NULL DEFAULT '',        -- 7BIT, 8BITMIME, BINARYMIME
  qmUtf8    INTEGER NOT NULL DEFAULT 0,      -- 1: SMTPUTF8
  qmRet     TEXT NOT NULL DEFAULT '',        -- FULL, HDRS
  qmEnvid   TEXT NOT NULL DEFAULT '',
  qmUser    TEXT NOT NULL DEFAULT '',        -- who logged in
  qmClient  TEXT NOT NULL DEFAULT '',        -- name[address]
  qmHelo    TEXT NOT NULL DEFAULT '',
  qmProto   TEXT NOT NULL DEFAULT '',
  qmFilter  TEXT NOT NULL DEFAULT '',        -- transport:nexthop of an access(5) FILTER
  qmPrepend TEXT NOT NULL DEFAULT '',        -- header lines that go above the file
  qmWarned  INTEGER NOT NULL DEFAULT 0       -- 1: the sender knows of the delay
) WITHOUT ROWID;

CREATE TABLE QRecipient (
  qrNum      INTEGER PRIMARY KEY,
  qrMsg      TEXT NOT NULL REFERENCES QMessage (qmId) ON DELETE CASCADE,
  qrAddress  TEXT NOT NULL,                  -- where it goes, aliases followed
  qrOriginal TEXT NOT NULL,                  -- what the client said in RCPT
  qrOrcpt    TEXT NOT NULL DEFAULT '',       -- DSN ORCPT, type;address
  qrNotify   TEXT NOT NULL DEFAULT '',       -- DSN NOTIFY; '' none given
  qrSite     TEXT NOT NULL,                  -- transport:nexthop
  qrState    INTEGER NOT NULL DEFAULT 0      -- 0 waits, 1 active, 2 on hold, 3 failed and not yet reported,
             CHECK (qrState BETWEEN 0 AND 4), -- 4 delivered and not yet reported
  qrDue      INTEGER NOT NULL,               -- Unix time of the next attempt; 0: now, even if the site is dead
  qrAttempts INTEGER NOT NULL DEFAULT 0,
  qrStatus   TEXT NOT NULL DEFAULT '',       -- the last enhanced code, 4.4.1
  qrReply    TEXT NOT NULL DEFAULT '',       -- the last words
  qrMta      TEXT NOT NULL DEFAULT '',       -- the host that said them
  qrDiag     TEXT NOT NULL DEFAULT ''        -- its own reply, code first
);
CREATE INDEX QRecipientMsg ON QRecipient (qrMsg);
CREATE INDEX QRecipientDue ON QRecipient (qrDue) WHERE qrState = 0;
CREATE INDEX QRecipientOther ON QRecipient (qrState, qrMsg) WHERE qrState IN (1, 3, 4);

