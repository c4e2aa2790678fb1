-- state.sqlite, screening: until when clients have passed which test.

CREATE TABLE Screen (
  scrAddr    TEXT PRIMARY KEY,
  scrGreet   INTEGER NOT NULL DEFAULT 0,     -- Unix times; 0: not passed
  scrDnsbl   INTEGER NOT NULL DEFAULT 0,
  scrPipe    INTEGER NOT NULL DEFAULT 0,
  scrNonSmtp INTEGER NOT NULL DEFAULT 0,
  scrBareLf  INTEGER NOT NULL DEFAULT 0,
  scrLast    INTEGER NOT NULL                -- the last of them
) WITHOUT ROWID;
CREATE INDEX ScreenLast ON Screen (scrLast);
