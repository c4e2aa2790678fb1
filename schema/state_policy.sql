-- state.sqlite, policy: whom a mail server has met, whom it has asked, and how
-- much its users have sent.

CREATE TABLE Greylist (                      -- client network, sender, recipient
  glKey   TEXT PRIMARY KEY,
  glFirst INTEGER NOT NULL,                  -- Unix time of the first try
  glLast  INTEGER NOT NULL,                  -- of the last, to the hour once it has passed
  glCount INTEGER NOT NULL DEFAULT 0         -- messages that have passed
) WITHOUT ROWID;
CREATE INDEX GreylistLast ON Greylist (glLast);

CREATE TABLE GreyClient (                    -- clients that come back
  gcAddr  TEXT PRIMARY KEY,                  -- address; of IPv6 the /64
  gcCount INTEGER NOT NULL,                  -- how often one has; at most once an hour counts
  gcLast  INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX GreyClientLast ON GreyClient (gcLast);

CREATE TABLE Verify (                        -- what next hops say of addresses
  vfAddress TEXT PRIMARY KEY,                -- lower case
  vfStatus  INTEGER NOT NULL,     -- 1 deliverable, 2 undeliverable, 3 not now
  vfUpdated INTEGER NOT NULL DEFAULT 0,      -- Unix time of the answer
  vfText    TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE INDEX VerifyUpdated ON Verify (vfUpdated);

CREATE TABLE SendCount (                     -- what users have sent
  scUser       TEXT NOT NULL,                -- log-in name, lower case
  scSlot       INTEGER NOT NULL,             -- Unix time / 600
  scMessages   INTEGER NOT NULL DEFAULT 0,
  scRecipients INTEGER NOT NULL DEFAULT 0,
  scRefused    INTEGER NOT NULL DEFAULT 0,   -- what a limit has held back
  PRIMARY KEY (scUser, scSlot)
) WITHOUT ROWID;
CREATE INDEX SendCountSlot ON SendCount (scSlot);

CREATE TABLE DmarcDomain (                   -- whom a report of a day is for
  ddDay    INTEGER NOT NULL,                 -- Unix time / 86400
  ddDomain TEXT NOT NULL,                    -- where the record was found
  ddRecord TEXT NOT NULL,                    -- the record
  ddSent   INTEGER NOT NULL DEFAULT 0,       -- Unix time of the report
  PRIMARY KEY (ddDay, ddDomain)
) WITHOUT ROWID;

CREATE TABLE DmarcCount (                    -- the lines of the reports
  dcDay    INTEGER NOT NULL,
  dcDomain TEXT NOT NULL,
  dcAddr   TEXT NOT NULL,                    -- of the client
  dcFacts  TEXT NOT NULL,                    -- JSON: results and domains
  dcCount  INTEGER NOT NULL,
  PRIMARY KEY (dcDay, dcDomain, dcAddr, dcFacts)
) WITHOUT ROWID;
