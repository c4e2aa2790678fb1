-- mail.sqlite: second factors of log-ins on web pages.

CREATE TABLE Totp (
  ttUser   TEXT PRIMARY KEY COLLATE NOCASE CHECK (ttUser <> ''), -- log-in name, or that of an administrator
  active   INTEGER NOT NULL DEFAULT 0,        -- 1: asked for; since a code of it was right
  ttSecret TEXT NOT NULL                      -- base32, RFC 6238
);
