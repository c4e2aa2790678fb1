-- state.sqlite: the newest lines of the log, for "mailserver trace".

CREATE TABLE Trace (
  tcNum   INTEGER PRIMARY KEY,               -- in the order of time; the lowest are dropped
  tcTime  INTEGER NOT NULL,                  -- Unix time in ms
  tcConn  TEXT NOT NULL DEFAULT '',          -- connection
  tcQueue TEXT NOT NULL DEFAULT '',          -- queue ID
  tcText  TEXT NOT NULL
);
CREATE INDEX TraceQueue ON Trace (tcQueue) WHERE tcQueue <> '';
CREATE INDEX TraceConn ON Trace (tcConn) WHERE tcConn <> '';
