-- state.sqlite, the mailbox index. The files of the Maildir trees are the
-- truth; all of this but UIDs and MODSEQ can be made anew from them.
--
-- Rows about one message have the key  mailbox << 32 | uid : one number to
-- look up, and a range of UIDs is a range of keys.

CREATE TABLE Account (
  accNum      INTEGER PRIMARY KEY,
  accUser     TEXT NOT NULL UNIQUE,           -- log-in name
  accValidity INTEGER NOT NULL DEFAULT 0      -- last UIDVALIDITY given to a mailbox of it
);

CREATE TABLE Mailbox (
  mbNum       INTEGER PRIMARY KEY AUTOINCREMENT, -- never given again: it is the MAILBOXID
  mbAccNum    INTEGER NOT NULL REFERENCES Account (accNum),
  mbName      TEXT,                           -- UTF-8, INBOX; NULL: deleted, its rows are being dropped
  mbDir       TEXT NOT NULL,                  -- below the Maildir, '' for INBOX
  mbInode     INTEGER NOT NULL DEFAULT 0,     -- of that directory: tells a rename by another program
  mbGen       INTEGER NOT NULL DEFAULT 0,     -- counts writes; a writer names the one it builds on
  mbValidity  INTEGER NOT NULL,
  mbUidNext   INTEGER NOT NULL DEFAULT 1,
  mbModSeq    INTEGER NOT NULL DEFAULT 1,     -- highest
  mbFloor     INTEGER NOT NULL DEFAULT 0,     -- Expunged is complete for changes after this MODSEQ
  mbMessages  INTEGER NOT NULL DEFAULT 0,
  mbUnseen    INTEGER NOT NULL DEFAULT 0,
  mbDeleted   INTEGER NOT NULL DEFAULT 0,     -- with \Deleted
  mbRecent    INTEGER NOT NULL DEFAULT 0,     -- that no session has seen
  mbSize      INTEGER NOT NULL DEFAULT 0,     -- bytes, as RFC822.SIZE
  mbDelSize   INTEGER NOT NULL DEFAULT 0,
  mbCurTime   INTEGER NOT NULL DEFAULT 0,     -- times of cur/ and new/ when last read, ns; negative:
  mbNewTime   INTEGER NOT NULL DEFAULT 0,     -- read too soon after to be sure
  mbSpecial   TEXT                            -- special use, names with spaces between
);
CREATE UNIQUE INDEX MailboxName ON Mailbox (mbAccNum, mbName);

CREATE TABLE Message (
  msgKey    INTEGER PRIMARY KEY,
  msgModSeq INTEGER NOT NULL,
  msgFlags  INTEGER NOT NULL,                 -- bits, storage/flags.go
  msgSize   INTEGER NOT NULL,                 -- RFC822.SIZE
  msgDate   INTEGER NOT NULL,                 -- INTERNALDATE, Unix time
  msgSaved  INTEGER NOT NULL,                 -- put into this mailbox, Unix time
  msgName   TEXT NOT NULL,                    -- of the file, without the flags at its end
  msgInfo   TEXT,                             -- that end, where flags do not tell it
  msgEmail  INTEGER                           -- EMAILID of a copy: that of the first; NULL: by name
);

CREATE TABLE Expunged (                       -- for QRESYNC
  expMbNum  INTEGER NOT NULL,
  expModSeq INTEGER NOT NULL,
  expFirst  INTEGER NOT NULL,                 -- UIDs from, to
  expLast   INTEGER NOT NULL,
  PRIMARY KEY (expMbNum, expModSeq, expFirst)
) WITHOUT ROWID;

CREATE TABLE Keyword (
  kwMbNum INTEGER NOT NULL,
  kwNum   INTEGER NOT NULL,                   -- 0 to 25 are the letters a to z in file names
  kwName  TEXT NOT NULL,
  PRIMARY KEY (kwMbNum, kwNum)
) WITHOUT ROWID;

-- What imap derives from messages, in columns that it reads by themselves. A row
-- holds one column of the messages with 32 UIDs in a row:
-- mcKey = mailbox << 32 | column << 27 | uid >> 5.
CREATE TABLE MessageCache (
  mcKey     INTEGER PRIMARY KEY,
  mcData    BLOB NOT NULL                     -- schema/index_cache.go
);
