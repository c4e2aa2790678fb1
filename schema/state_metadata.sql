-- state.sqlite: METADATA of RFC 5464, what clients note about mailboxes.

CREATE TABLE Annotation (
  anAccNum INTEGER NOT NULL,
  anMbNum  INTEGER NOT NULL,                  -- 0: of the account
  anName   TEXT NOT NULL,                     -- in lower case
  anValue  BLOB NOT NULL,
  PRIMARY KEY (anAccNum, anMbNum, anName)
) WITHOUT ROWID;
