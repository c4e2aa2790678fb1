-- state.sqlite: codes of second factors are good once.

CREATE TABLE TotpUse (
  tuUser TEXT PRIMARY KEY COLLATE NOCASE,
  tuStep INTEGER NOT NULL                     -- half minutes since 1970, of the last code that was right
);
