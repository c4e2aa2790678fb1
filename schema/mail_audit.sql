-- mail.sqlite: who has changed which row. Triggers write it, for every program
-- that changes rows; passwords and keys are written as ***.

CREATE TABLE Audit (
  auNum    INTEGER PRIMARY KEY,               -- in the order of changes; the lowest are dropped
  auTime   INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER)), -- Unix time
  auWho    TEXT NOT NULL DEFAULT '',          -- user and command; '': a program that is not ours, such as sqlite3
  auAction TEXT NOT NULL,                     -- insert, update, delete; or what a command did beside rows
  auTable  TEXT NOT NULL DEFAULT '',
  auRow    TEXT NOT NULL DEFAULT '',          -- the row, by its name
  auOld    TEXT,                              -- JSON: columns before
  auNew    TEXT                               -- JSON: columns after
);

CREATE TABLE AuditBy (abWho TEXT NOT NULL);   -- who writes now; set and emptied within one transaction
INSERT INTO AuditBy VALUES ('');

-- Settings audit_rows and audit_days bound it, whoever writes.
CREATE TRIGGER AuditBound AFTER INSERT ON Audit WHEN NEW.auNum % 100 = 0 BEGIN
  DELETE FROM Audit WHERE auNum <= NEW.auNum - ifnull((SELECT CAST(stValue AS INTEGER) FROM Setting WHERE stName = 'audit_rows'), 50000);
  DELETE FROM Audit WHERE auNum IN (SELECT auNum FROM Audit ORDER BY auNum LIMIT 1000)
    AND auTime < NEW.auTime - 86400 * ifnull((SELECT CAST(stValue AS INTEGER) FROM Setting WHERE stName = 'audit_days'), 365);
END;
