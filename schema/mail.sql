-- mail.sqlite: what the operator wants. Every row here takes effect at the
-- next command; nothing has to be reloaded. Loads in the sqlite3 3.40 shell.
--
-- The eight tables of the first part keep the names they have had since 2012
-- in the "postfix-dovecot-sqlite" design; statements written for it still run.

CREATE TABLE Transport (                      -- transport(5): where mail goes next
  tpNum       INTEGER PRIMARY KEY,
  active      INTEGER NOT NULL DEFAULT 1,     -- 0: the row is ignored
  tpTransport TEXT,                           -- smtp, lmtp, relay, local, error ...; NULL: the transport of the class
  tpNexthop   TEXT COLLATE NOCASE,            -- NULL: the domain of the recipient
  tpMx        INTEGER NOT NULL DEFAULT 1,     -- 0: no MX look-up, as [host]
  tpPort      INTEGER CHECK (tpPort BETWEEN 1 AND 65535)
);
CREATE UNIQUE INDEX TransportOnce ON Transport
  (ifnull(tpTransport, ''), ifnull(tpNexthop, '') COLLATE NOCASE, tpMx, ifnull(tpPort, 0));

CREATE TABLE RClass (                         -- numbers of the restriction classes
  rcNum  INTEGER PRIMARY KEY CHECK (rcNum BETWEEN 0 AND 99),
  rcName TEXT NOT NULL UNIQUE COLLATE NOCASE CHECK (rcName <> '')
);                                            -- number 35, name x: the class RC35-x in Restriction

CREATE TABLE Domain (                         -- every domain list in one table
  domNum     INTEGER PRIMARY KEY,
  active     INTEGER NOT NULL DEFAULT 1,      -- 0: not hosted; its log-ins go on
  domName    TEXT NOT NULL UNIQUE COLLATE NOCASE CHECK (domName <> '' AND domName NOT LIKE '%@%'),
  domClass   INTEGER NOT NULL DEFAULT 0       -- 0 external, 1 local, 2 relay, 3 virtual alias,
             CHECK (domClass BETWEEN 0 AND 3 OR domClass > 800), -- >800 virtual mailbox and the UID of its files
  domTpNum   INTEGER REFERENCES Transport (tpNum),
  domRcNum   INTEGER REFERENCES RClass (rcNum) CHECK (domRcNum BETWEEN 0 AND 99),
  domSysUser INTEGER NOT NULL DEFAULT 0       -- UID of the owner, for the record only
);
CREATE INDEX DomainTransport ON Domain (domTpNum) WHERE domTpNum IS NOT NULL;

CREATE TABLE Address (
  addNum       INTEGER PRIMARY KEY,
  active       INTEGER NOT NULL DEFAULT 1 CHECK (active IN (1, 0, -1)), -- 0: takes no mail; -1: takes mail, may not log in
  addLocalpart TEXT NOT NULL COLLATE NOCASE,  -- '' is the catch-all of the domain
  addDomNum    INTEGER NOT NULL REFERENCES Domain (domNum),
  addTpNum     INTEGER REFERENCES Transport (tpNum),                         -- NULL: as the domain
  addRcNum     INTEGER REFERENCES RClass (rcNum) CHECK (addRcNum BETWEEN 0 AND 99), -- NULL: as the domain
  UNIQUE (addDomNum, addLocalpart)
);
CREATE INDEX AddressTransport ON Address (addTpNum) WHERE addTpNum IS NOT NULL;

CREATE TABLE VAlias (                         -- virtual(5): several rows, several targets
  vaNum       INTEGER NOT NULL REFERENCES Address (addNum),
  vaTargetNum INTEGER NOT NULL REFERENCES Address (addNum),
  active      INTEGER NOT NULL DEFAULT 1,
  vaExtension TEXT                            -- added to the target's local part after the delimiter
);
CREATE UNIQUE INDEX VAliasOnce ON VAlias (vaNum, vaTargetNum, ifnull(vaExtension, ''));
CREATE INDEX VAliasTarget ON VAlias (vaTargetNum);

CREATE TABLE Alias (                          -- aliases(5) of local names
  aliasNum    INTEGER NOT NULL REFERENCES Address (addNum),
  aliasTarget TEXT NOT NULL CHECK (aliasTarget <> ''), -- address, /file, |command, :include:/file
  active      INTEGER NOT NULL DEFAULT 1,
  UNIQUE (aliasNum, aliasTarget)
);

CREATE TABLE VMailbox (
  vmNum    INTEGER PRIMARY KEY REFERENCES Address (addNum),
  active   INTEGER NOT NULL DEFAULT 1,        -- 0: no delivery and no log-in
  vmPasswd TEXT,                              -- {SCHEME}hash; NULL: nobody logs in
  vmUid    INTEGER,                           -- NULL: domClass of the domain
  vmGid    INTEGER,                           -- NULL: setting virtual_default_gid
  vmHome   TEXT,                              -- NULL: setting virtual_mailbox_home
  vmQuota  INTEGER CHECK (vmQuota >= 0),      -- bytes; NULL or 0: no limit
  vmHost   TEXT                               -- the backend that holds it; NULL: here
);

-- Restriction classes -------------------------------------------------------

CREATE TABLE Restriction (                    -- components (z-common) and composites (RC20-moderate)
  rsName TEXT PRIMARY KEY COLLATE NOCASE CHECK (rsName <> '' AND rsName NOT GLOB '*[ ,]*'),
  rsList TEXT NOT NULL,                       -- restrictions, access tables, other classes; commas or spaces
  rsText TEXT                                 -- said instead of the plain refusal text
);

CREATE TABLE Access (                         -- access(5)
  acNum    INTEGER PRIMARY KEY,
  active   INTEGER NOT NULL DEFAULT 1,
  acTable  TEXT NOT NULL COLLATE NOCASE CHECK (acTable <> ''),
  acType   TEXT NOT NULL DEFAULT 'hash' CHECK (acType IN ('hash', 'cidr', 'regexp')),
  acKey    TEXT NOT NULL COLLATE NOCASE CHECK (acKey <> ''),
  acAction TEXT NOT NULL CHECK (acAction <> ''),
  acPriority INTEGER NOT NULL DEFAULT 0       -- order of cidr and regexp rows, low first
);
CREATE UNIQUE INDEX AccessOnce ON Access (acTable, acKey, acType);

CREATE TABLE BScat (                          -- senders whose mail may be backscatter
  bsNum      INTEGER PRIMARY KEY,
  active     INTEGER NOT NULL DEFAULT 1,
  bsSender   TEXT NOT NULL COLLATE NOCASE,    -- <> is the null sender
  bsPriority INTEGER NOT NULL DEFAULT 0,
  bsTarget   TEXT NOT NULL,                   -- a restriction or class
  UNIQUE (bsSender, bsPriority)
);

-- Settings and listeners ----------------------------------------------------

CREATE TABLE Setting (                        -- parameters under their Postfix or Dovecot names
  stName  TEXT PRIMARY KEY COLLATE NOCASE CHECK (stName <> ''),
  stValue TEXT NOT NULL
);

CREATE TABLE Listener (
  lsNum      INTEGER PRIMARY KEY,
  active     INTEGER NOT NULL DEFAULT 1,
  lsProtocol TEXT NOT NULL CHECK (lsProtocol IN ('mx', 'submission', 'lmtp', 'imap', 'pop3', 'managesieve', 'http')),
  lsAddress  TEXT NOT NULL CHECK (lsAddress <> ''), -- host:port, :port for all addresses, unix:/path
  lsTls      TEXT NOT NULL DEFAULT 'may' CHECK (lsTls IN ('none', 'may', 'encrypt', 'wrapper')),
  lsHostname TEXT,                            -- NULL: setting myhostname
  lsCertNum  INTEGER REFERENCES Cert (ctNum), -- NULL: by SNI, else the default
  lsTag      TEXT,
  lsAuth     INTEGER NOT NULL DEFAULT 0,      -- SMTP: 1 offers AUTH; 2 offers it without TLS too
  UNIQUE (lsAddress)
);

CREATE TABLE Cert (
  ctNum      INTEGER PRIMARY KEY,
  active     INTEGER NOT NULL DEFAULT 1,
  ctHostname TEXT NOT NULL COLLATE NOCASE,
  ctCertFile TEXT NOT NULL,                   -- PEM, chain; relative to the data directory
  ctKeyFile  TEXT NOT NULL,
  UNIQUE (ctHostname)
);

-- Routing and rewriting -----------------------------------------------------

CREATE TABLE Relocated (                      -- relocated(5)
  rlNum     INTEGER PRIMARY KEY,
  active    INTEGER NOT NULL DEFAULT 1,
  rlAddress TEXT NOT NULL UNIQUE COLLATE NOCASE, -- user@domain or @domain
  rlTarget  TEXT NOT NULL                     -- where the user has moved to
);

CREATE TABLE PatternAlias (                   -- aliases by LIKE pattern: %, sales-%
  paNum      INTEGER PRIMARY KEY,
  active     INTEGER NOT NULL DEFAULT 1,
  paDomNum   INTEGER NOT NULL REFERENCES Domain (domNum),
  paPattern  TEXT NOT NULL COLLATE NOCASE,    -- of the local part
  paPriority INTEGER NOT NULL DEFAULT 0,      -- low first; the first that matches wins
  paTarget   TEXT NOT NULL,                   -- addresses, by comma
  UNIQUE (paDomNum, paPattern)
);

CREATE TABLE Canonical (                      -- canonical(5)
  cnNum     INTEGER PRIMARY KEY,
  active    INTEGER NOT NULL DEFAULT 1,
  cnMap     TEXT NOT NULL DEFAULT 'canonical' CHECK (cnMap IN ('canonical', 'sender_canonical', 'recipient_canonical', 'generic')),
  cnAddress TEXT NOT NULL COLLATE NOCASE,
  cnTarget  TEXT NOT NULL,
  UNIQUE (cnMap, cnAddress)
);

CREATE TABLE Bcc (                            -- sender_bcc_maps, recipient_bcc_maps
  bcNum     INTEGER PRIMARY KEY,
  active    INTEGER NOT NULL DEFAULT 1,
  bcMap     TEXT NOT NULL CHECK (bcMap IN ('sender', 'recipient')),
  bcAddress TEXT NOT NULL COLLATE NOCASE,
  bcTarget  TEXT NOT NULL,
  UNIQUE (bcMap, bcAddress)
);

CREATE TABLE SenderOwner (                    -- sender_login_maps
  soNum     INTEGER PRIMARY KEY,
  active    INTEGER NOT NULL DEFAULT 1,
  soAddress TEXT NOT NULL COLLATE NOCASE,     -- user@domain, @domain
  soLogin   TEXT NOT NULL COLLATE NOCASE,
  UNIQUE (soAddress, soLogin)
);

CREATE TABLE RelayHost (                      -- relayhost, sender_dependent_relayhost_maps, smtp_sasl_password_maps
  rhNum     INTEGER PRIMARY KEY,
  active    INTEGER NOT NULL DEFAULT 1,
  rhSender  TEXT NOT NULL DEFAULT '' COLLATE NOCASE, -- '': every sender; user@domain, @domain
  rhNexthop TEXT NOT NULL,                    -- [host]:port
  rhUser    TEXT,
  rhPasswd  TEXT,
  UNIQUE (rhSender)
);

CREATE TABLE TlsPolicy (                      -- smtp_tls_policy_maps
  tsNum     INTEGER PRIMARY KEY,
  active    INTEGER NOT NULL DEFAULT 1,
  tsNexthop TEXT NOT NULL UNIQUE COLLATE NOCASE,
  tsPolicy  TEXT NOT NULL                     -- level and attributes
);

CREATE TABLE ContentCheck (                   -- header_checks, body_checks
  ckNum      INTEGER PRIMARY KEY,
  active     INTEGER NOT NULL DEFAULT 1,
  ckMap      TEXT NOT NULL CHECK (ckMap IN ('header', 'mime_header', 'nested_header', 'body', 'smtp_header')),
  ckPriority INTEGER NOT NULL DEFAULT 0,
  ckPattern  TEXT NOT NULL,
  ckAction   TEXT NOT NULL
);

-- Keys, credentials, people -------------------------------------------------

CREATE TABLE DkimKey (
  dkNum       INTEGER PRIMARY KEY,
  active      INTEGER NOT NULL DEFAULT 1,
  dkDomain    TEXT NOT NULL COLLATE NOCASE,
  dkSelector  TEXT NOT NULL COLLATE NOCASE,
  dkAlgorithm TEXT NOT NULL CHECK (dkAlgorithm IN ('rsa', 'ed25519')),
  dkKey       TEXT NOT NULL,                  -- PKCS #8 PEM
  UNIQUE (dkDomain, dkSelector)
);

CREATE TABLE AppPassword (
  apNum       INTEGER PRIMARY KEY,
  active      INTEGER NOT NULL DEFAULT 1,
  apAddNum    INTEGER NOT NULL REFERENCES Address (addNum),
  apName      TEXT NOT NULL,
  apPasswd    TEXT NOT NULL,                  -- {SCHEME}hash
  apProtocols TEXT NOT NULL DEFAULT '',       -- '': all; smtp,imap,pop3
  apExpires   INTEGER,                        -- Unix time; NULL: never
  UNIQUE (apAddNum, apName)
);

CREATE TABLE Administrator (
  adNum    INTEGER PRIMARY KEY,
  active   INTEGER NOT NULL DEFAULT 1,
  adName   TEXT NOT NULL UNIQUE COLLATE NOCASE,
  adPasswd TEXT NOT NULL,
  adDomNum INTEGER REFERENCES Domain (domNum) -- NULL: all domains
);

CREATE TABLE SqlMap (                         -- user-defined look-ups, sqlite_table(5)
  smName           TEXT PRIMARY KEY COLLATE NOCASE,
  smFile           TEXT,                      -- NULL: this file
  smQuery          TEXT NOT NULL,
  smResultFormat   TEXT NOT NULL DEFAULT '%s',
  smDomain         TEXT,                      -- list of domains it is asked for; NULL: all
  smExpansionLimit INTEGER NOT NULL DEFAULT 0
);
