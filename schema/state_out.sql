-- Third part of state.sqlite: the tag of a message's listener, results of TLS.

ALTER TABLE QMessage ADD COLUMN qmTag TEXT NOT NULL DEFAULT ''; -- of the listener it came in at

CREATE TABLE TlsResult (                      -- sessions with other hosts, for the reports of RFC 8460
  trDay     TEXT NOT NULL,                    -- UTC, 2026-11-21
  trDomain  TEXT NOT NULL,                    -- policy domain
  trPolicy  TEXT NOT NULL,                    -- tlsa, sts, no-policy-found
  trText    TEXT NOT NULL DEFAULT '',         -- the policy, a line each
  trMxHost  TEXT NOT NULL DEFAULT '',         -- mx patterns of an STS policy, by comma
  trResult  TEXT NOT NULL DEFAULT '',         -- '' went well; else the result type of RFC 8460 section 4.3
  trHost    TEXT NOT NULL DEFAULT '',         -- of a failure: the mail exchanger,
  trAddress TEXT NOT NULL DEFAULT '',         -- its address,
  trOwn     TEXT NOT NULL DEFAULT '',         -- our address,
  trReason  TEXT NOT NULL DEFAULT '',         -- and what happened
  trCount   INTEGER NOT NULL,
  PRIMARY KEY (trDay, trDomain, trPolicy, trText, trMxHost, trResult, trHost, trAddress, trOwn, trReason)
) WITHOUT ROWID;

CREATE TABLE TlsReport (                      -- reports that were sent
  tpDay    TEXT NOT NULL,
  tpDomain TEXT NOT NULL,
  tpSent   INTEGER NOT NULL,                  -- Unix time
  tpTo     TEXT NOT NULL,
  PRIMARY KEY (tpDay, tpDomain)
) WITHOUT ROWID;
