-- A further version of mail.sqlite: mailboxes of others.

CREATE TABLE Namespace (                      -- namespace { } of Dovecot, besides the one of a user's own mailboxes
  nsNum      INTEGER PRIMARY KEY,
  active     INTEGER NOT NULL DEFAULT 1,
  nsType     TEXT NOT NULL CHECK (nsType IN ('shared', 'public')),
  nsPrefix   TEXT NOT NULL UNIQUE             -- shared/%u/ : %u is who shares; Public/ . Levels of the names are divided by its last byte
             CHECK (nsPrefix <> '' AND substr(nsPrefix, -1) = '/' AND substr(nsPrefix, 1, 1) <> '/' AND nsPrefix NOT GLOB '*//*'
                    AND (nsType = 'public') = (instr(nsPrefix, '%') = 0)),
  nsLocation TEXT                             -- of public: maildir:/path; NULL for shared
             CHECK ((nsType = 'public') = (nsLocation IS NOT NULL) AND (nsLocation IS NULL OR nsLocation GLOB 'maildir:/*')),
  nsUid      INTEGER,                         -- of public: owner of the files; NULL: the server's own
  nsGid      INTEGER,
  nsList     TEXT NOT NULL DEFAULT 'children' CHECK (nsList IN ('yes', 'children', 'no')) -- children: only when there is something in it
);

CREATE TABLE UserGroup (                      -- acl_groups: whom group=NAME in an ACL means
  ugGroup TEXT NOT NULL CHECK (ugGroup <> ''),
  ugUser  TEXT NOT NULL COLLATE NOCASE CHECK (ugUser <> ''), -- log-in name
  PRIMARY KEY (ugGroup, ugUser)
) WITHOUT ROWID;
CREATE INDEX UserGroupUser ON UserGroup (ugUser);
