-- Second version of mail.sqlite: ways out.

-- A RelayHost row says the next hop of mail whose way the class of the address
-- chose: of a sender, of all ('' for rhSender), or of what came in at a
-- listener with a tag (tag:NAME). rhNexthop '' is the domain of the recipient,
-- DUNNO what the row for all says.
ALTER TABLE RelayHost ADD COLUMN rhTransport TEXT;  -- sender_dependent_default_transport_maps; NULL: that of the class

CREATE TABLE SaslPassword (                   -- smtp_sasl_password_maps
  spNum    INTEGER PRIMARY KEY,
  active   INTEGER NOT NULL DEFAULT 1,
  spKey    TEXT NOT NULL UNIQUE COLLATE NOCASE CHECK (spKey <> ''), -- next hop as it is written, or host; user@domain of senders
  spUser   TEXT NOT NULL,
  spPasswd TEXT NOT NULL
);

CREATE TABLE Pipe (                           -- pipe(8): transports that are programs; a line of master.cf each
  ppName      TEXT PRIMARY KEY COLLATE NOCASE -- the transport
              CHECK (ppName <> '' AND ppName NOT GLOB '*[^-_.0-9A-Za-z]*'
                     AND ppName NOT IN ('smtp', 'relay', 'lmtp', 'local', 'virtual', 'error', 'retry', 'discard', 'pipe')),
  active      INTEGER NOT NULL DEFAULT 1,
  ppArgv      TEXT NOT NULL CHECK (ppArgv <> ''), -- words by spaces; { words } is one; ${recipient} ...
  ppUser      TEXT NOT NULL CHECK (ppUser <> ''), -- user or user:group; never root
  ppFlags     TEXT NOT NULL DEFAULT '',       -- of BDFOORXhqu.>
  ppDirectory TEXT,                           -- NULL: /
  ppEol       TEXT NOT NULL DEFAULT '\n',     -- with \r \n and the like
  ppNullSender TEXT NOT NULL DEFAULT 'MAILER-DAEMON', -- ${sender} of the null sender
  ppSize      INTEGER,                        -- bytes of a message, more is bounced; NULL or 0: no limit
  ppMaxProc   INTEGER CHECK (ppMaxProc > 0),  -- runs at a time, of one next hop; NULL: setting pipe_command_maxproc
  ppRecipients INTEGER CHECK (ppRecipients > 0), -- recipients of one run; NULL: setting default_destination_recipient_limit
  ppTimeLimit TEXT                            -- time of a run: 1000s, 5m; NULL: setting command_time_limit
);
