-- mail.sqlite: what single users may send.

CREATE TABLE SendLimit (
  slUser TEXT PRIMARY KEY COLLATE NOCASE,     -- log-in name
  active INTEGER NOT NULL DEFAULT 1,
  slHour INTEGER CHECK (slHour >= 0),         -- recipients within an hour; 0 no limit; NULL: the setting
  slDay  INTEGER CHECK (slDay >= 0)           -- within a day
);
