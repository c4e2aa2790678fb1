-- state.sqlite: who shares with whom, Dovecot's acl_shared_dict. The files
-- dovecot-acl are the truth; this tells whose are worth a look.

CREATE TABLE Sharing (
  shTo   TEXT NOT NULL COLLATE NOCASE,        -- anyone, authenticated, user=NAME, group=NAME, group-override=NAME
  shFrom TEXT NOT NULL COLLATE NOCASE,        -- log-in name
  PRIMARY KEY (shTo, shFrom)
) WITHOUT ROWID;
CREATE INDEX SharingFrom ON Sharing (shFrom);
