-- state.sqlite: copies of several messages that are on their way, so that a
-- crash leaves all or none.

CREATE TABLE Copying (
  cpNum    INTEGER PRIMARY KEY,
  cpDir    TEXT NOT NULL,                     -- absolute path of the directory they go to
  cpPrefix TEXT NOT NULL,                     -- that all their file names begin with
  cpOwner  TEXT NOT NULL                      -- the process: its number and when it began
);
