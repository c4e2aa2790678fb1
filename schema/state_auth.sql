-- state.sqlite, log-ins: what the server remembers of those who came in, and
-- of those who guess.

CREATE TABLE AuthSeen (                      -- where a user has logged in from
  asUser  TEXT NOT NULL,                     -- log-in name, lower case
  asNet   TEXT NOT NULL,                     -- address; of IPv6 the /64
  asProto TEXT NOT NULL DEFAULT '',          -- of the last time
  asFirst INTEGER NOT NULL,                  -- Unix time
  asLast  INTEGER NOT NULL,                  -- to the hour: a write for every log-in would cost more than it tells
  PRIMARY KEY (asUser, asNet)
) WITHOUT ROWID;
CREATE INDEX AuthSeenLast ON AuthSeen (asLast);

CREATE TABLE AuthBan (                       -- addresses that guess passwords
  abNet    TEXT PRIMARY KEY,                 -- address; of IPv6 the /64
  abSince  INTEGER NOT NULL,                 -- Unix time
  abUntil  INTEGER NOT NULL,
  abTimes  INTEGER NOT NULL DEFAULT 1,       -- how often so far; each is twice as long
  abReason TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;

CREATE TABLE AppUse (                        -- last use of app passwords
  auApp    INTEGER PRIMARY KEY,              -- AppPassword.apNum of mail.sqlite
  auLast   INTEGER NOT NULL,                 -- Unix time, to the hour
  auProto  TEXT NOT NULL,
  auRemote TEXT NOT NULL
);
