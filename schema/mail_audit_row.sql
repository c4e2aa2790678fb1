-- mail.sqlite: where the triggers of tables put a change. The trigger on it,
-- AuditChange, makes the row of Audit: one stands for what else each of them
-- would hold, in the memory of every connection.
CREATE VIEW AuditRow AS SELECT auTable, auRow, auOld, auNew FROM Audit;
