-- fts/NUMBER.sqlite, what the messages of an account hold. All of it can be made
-- anew from the messages; a file of another version is.

CREATE TABLE Owner (
  ownUser TEXT NOT NULL                       -- log-in name
);

CREATE TABLE Segment (                        -- internal/textindex
  sgNum   INTEGER PRIMARY KEY AUTOINCREMENT,
  sgFirst INTEGER NOT NULL,                   -- documents from, to
  sgLast  INTEGER NOT NULL,
  sgDocs  INTEGER NOT NULL                    -- that it has among those
);

CREATE TABLE Gram (
  grKey  INTEGER PRIMARY KEY,                 -- segment << 25 | first key of the block
  grData BLOB NOT NULL
);

CREATE TABLE Word (
  wdKey  INTEGER PRIMARY KEY,                 -- segment << 25 | number of the block
  wdList BLOB NOT NULL,
  wdData BLOB NOT NULL
);

CREATE TABLE Doc (                            -- a message, in however many mailboxes
  docNum   INTEGER PRIMARY KEY,
  docEmail INTEGER NOT NULL UNIQUE            -- its EMAILID
);

CREATE TABLE Mailbox (
  mbNum      INTEGER PRIMARY KEY,             -- as in state.sqlite
  mbValidity INTEGER NOT NULL,
  mbNext     INTEGER NOT NULL,                -- UIDs below were looked at
  mbCount    INTEGER NOT NULL                 -- of messages in Place
);

CREATE TABLE Place (                          -- which document a message is
  plKey  INTEGER PRIMARY KEY,                 -- mailbox << 32 | first UID
  plData BLOB NOT NULL                        -- schema/fts_place.go
);
