package schema

import (
	"context"
	"database/sql"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

//go:embed mail_audit.sql
var mailAuditDDL string

//go:embed mail_audit_row.sql
var mailAuditRowDDL string

// audited are the tables whose changes are recorded, and how a row of each is
// called; $ is OLD or NEW.
var audited = map[string]string{
	"Access":        `$.acTable || ' ' || $.acKey`,
	"Address":       `$.addLocalpart || '@' || ifnull((SELECT domName FROM Domain WHERE domNum = $.addDomNum), '')`,
	"Administrator": `$.adName`,
	"Alias":         auditAddress("$.aliasNum") + ` || ' -> ' || $.aliasTarget`,
	"AppPassword":   auditAddress("$.apAddNum") + ` || ' ' || $.apName`,
	"BScat":         `$.bsSender`,
	"Bcc":           `$.bcMap || ' ' || $.bcAddress`,
	"Canonical":     `$.cnMap || ' ' || $.cnAddress`,
	"Cert":          `$.ctHostname`,
	"ContentCheck":  `$.ckMap || ' ' || $.ckPattern`,
	"DkimKey":       `$.dkSelector || '._domainkey.' || $.dkDomain`,
	"Domain":        `$.domName`,
	"Listener":      `$.lsAddress`,
	"Namespace":     `$.nsPrefix`,
	"PatternAlias":  `$.paPattern || '@' || ifnull((SELECT domName FROM Domain WHERE domNum = $.paDomNum), '')`,
	"Pipe":          `$.ppName`,
	"RClass":        `$.rcName`,
	"RelayHost":     `$.rhSender`,
	"Relocated":     `$.rlAddress`,
	"Restriction":   `$.rsName`,
	"SaslPassword":  `$.spKey`,
	"SendLimit":     `$.slUser`,
	"SenderOwner":   `$.soAddress || ' ' || $.soLogin`,
	"Setting":       `$.stName`,
	"SqlMap":        `$.smName`,
	"TlsPolicy":     `$.tsNexthop`,
	"Totp":          `$.ttUser`,
	"Transport":     `$.tpNum`,
	"UserGroup":     `$.ugGroup || ' ' || $.ugUser`,
	"VAlias":        auditAddress("$.vaNum") + ` || ' -> ' || ` + auditAddress("$.vaTargetNum"),
	"VMailbox":      auditAddress("$.vmNum"),
}

func auditAddress(num string) string {
	return `ifnull((SELECT addLocalpart || '@' || domName FROM Address JOIN Domain ON domNum = addDomNum WHERE addNum = ` + num + `), ` + num + `)`
}

// auditHidden says when the value of a column is a secret.
var auditHidden = map[string]string{
	"adPasswd": "1", "apPasswd": "1", "rhPasswd": "1", "spPasswd": "1", "vmPasswd": "1", "dkKey": "1", "ttSecret": "1",
	"stValue":     `$.stName LIKE '%secret%' OR $.stName LIKE '%passw%' OR $.stName IN ('acme_dns_key') OR $.stValue LIKE '%://%:%@%'`,
	"smFile":      `$.smFile LIKE '%://%@%' OR $.smFile LIKE '%password%'`,
	"aliasTarget": `$.aliasTarget LIKE '|%passw%'`,
	"ppArgv":      `$.ppArgv LIKE '%passw%'`,
}

// auditValueMost bounds a value, in characters.
const auditValueMost = 500

// auditTriggers makes the triggers of all tables anew, for the columns that
// they have now.
func auditTriggers(ctx context.Context, tx *sql.Tx) error {
	if _, err := tx.ExecContext(ctx, auditChange+auditShort); err != nil {
		return fmt.Errorf("triggers of changes: %w", err)
	}
	for table, name := range audited {
		columns, err := columnsOf(ctx, tx, table)
		if err != nil {
			return err
		}
		if len(columns) == 0 {
			continue
		}
		if _, err := tx.ExecContext(ctx, auditTrigger(table, name, columns)); err != nil {
			return fmt.Errorf("triggers of %s: %w", table, err)
		}
	}
	return nil
}

func columnsOf(ctx context.Context, tx *sql.Tx, table string) ([]string, error) {
	rows, err := tx.QueryContext(ctx, `SELECT name FROM pragma_table_info(?)`, table)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		list = append(list, name)
	}
	return list, rows.Err()
}

const auditOn = `ifnull((SELECT CAST(stValue AS INTEGER) FROM Setting WHERE stName = 'audit_rows'), 50000) > 0`

// auditTrigger makes the triggers of a table. They hold what only they know, the
// columns; all else stands once, in AuditChange: every connection holds all
// triggers in memory, parsed.
func auditTrigger(table, name string, columns []string) string {
	old, inserted := auditRow("OLD", columns, "'***'"), auditRow("NEW", columns, "'***'")
	changed := auditRow("NEW", columns, "iif(NEW.$ IS OLD.$, '***', '*** (new)')")
	var b strings.Builder
	for _, t := range []struct{ verb, side, old, new string }{
		{"insert", "NEW", "NULL", inserted}, {"update", "NEW", old, changed}, {"delete", "OLD", old, "NULL"},
	} {
		fmt.Fprintf(&b, `DROP TRIGGER IF EXISTS Audit%[1]s_%[2]s;
			CREATE TRIGGER Audit%[1]s_%[2]s AFTER %[2]s ON %[1]s BEGIN
			INSERT INTO AuditRow VALUES ('%[1]s', %[3]s, %[4]s, %[5]s); END;`,
			table, t.verb, strings.ReplaceAll(name, "$", t.side), t.old, t.new)
	}
	return b.String()
}

// auditChange records what the triggers of tables say: nothing if no column has
// changed.
const auditChange = `DROP TRIGGER IF EXISTS AuditChange;
	CREATE TRIGGER AuditChange INSTEAD OF INSERT ON AuditRow WHEN NEW.auOld IS NOT NEW.auNew AND ` + auditOn + ` BEGIN
	INSERT INTO Audit (auWho, auAction, auTable, auRow, auOld, auNew)
	VALUES (ifnull((SELECT abWho FROM AuditBy), ''), iif(NEW.auOld IS NULL, 'insert', iif(NEW.auNew IS NULL, 'delete', 'update')),
		NEW.auTable, NEW.auRow, NEW.auOld, NEW.auNew); END;`

// auditShort bounds long values once the row is there.
var auditShort = fmt.Sprintf(`DROP TRIGGER IF EXISTS AuditShort;
	CREATE TRIGGER AuditShort AFTER INSERT ON Audit WHEN length(NEW.auOld) > %[1]d OR length(NEW.auNew) > %[1]d BEGIN
	UPDATE Audit SET
	  auOld = iif(NEW.auOld IS NULL, NULL, (SELECT json_group_object(key, iif(type = 'text', substr(value, 1, %[1]d), value)) FROM json_each(NEW.auOld))),
	  auNew = iif(NEW.auNew IS NULL, NULL, (SELECT json_group_object(key, iif(type = 'text', substr(value, 1, %[1]d), value)) FROM json_each(NEW.auNew)))
	WHERE auNum = NEW.auNum; END;`, auditValueMost)

// auditRow is a JSON object of the columns, with hidden in place of secrets,
// where $ is the column.
func auditRow(side string, columns []string, hidden string) string {
	var b strings.Builder
	b.WriteString("json_object(")
	for i, c := range columns {
		if i > 0 {
			b.WriteString(", ")
		}
		value := side + "." + c
		if when, ok := auditHidden[c]; ok {
			value = fmt.Sprintf("CASE WHEN %s.%s IS NULL THEN NULL WHEN %s THEN %s ELSE %s END", side, c,
				strings.ReplaceAll(when, "$", side), strings.ReplaceAll(hidden, "$", c), value)
		}
		fmt.Fprintf(&b, "'%s', %s", c, value)
	}
	return b.String() + ")"
}

type actorKey struct{}

// WithActor says who changes rows of mail.sqlite with this context: a user and
// a command.
func WithActor(ctx context.Context, who string) context.Context {
	return context.WithValue(ctx, actorKey{}, who)
}

// as runs fn as the actor of ctx: what its statements change is recorded so.
func (t *Tx) as(ctx context.Context, fn func(*Tx) error) error {
	who, _ := ctx.Value(actorKey{}).(string)
	if who == "" {
		who = "mailserver"
	}
	if err := t.exec(`UPDATE AuditBy SET abWho = ?`, who); err != nil {
		return err
	}
	if err := fn(t); err != nil {
		return err
	}
	return t.exec(`UPDATE AuditBy SET abWho = ''`)
}

// AddAudit records what a command has done to something that is no row of
// mail.sqlite.
func (t *Tx) AddAudit(action, what string) error {
	return wrap("record in the audit trail", t.exec(`INSERT INTO Audit (auWho, auAction, auRow)
		SELECT (SELECT abWho FROM AuditBy), ?, ? WHERE `+auditOn, action, what))
}

// AuditEntry is a change.
type AuditEntry struct {
	Num    int64           `json:"num"`
	Time   time.Time       `json:"time"`
	Who    string          `json:"who"` // '': a program that is not ours
	Action string          `json:"action"`
	Table  string          `json:"table,omitempty"`
	Row    string          `json:"row,omitempty"`
	Old    json.RawMessage `json:"old,omitempty"`
	New    json.RawMessage `json:"new,omitempty"`
}

// Changes are the columns that differ, as NAME: OLD -> NEW; of a new or deleted
// row all that have a value.
func (e *AuditEntry) Changes() (list []string) {
	var was, is map[string]any
	json.Unmarshal(e.Old, &was)
	json.Unmarshal(e.New, &is)
	both := e.Old != nil && e.New != nil
	for _, name := range auditNames(was, is) {
		o, n := was[name], is[name]
		switch {
		case both && o == n:
		case both:
			list = append(list, fmt.Sprintf("%s: %s -> %s", name, auditText(o), auditText(n)))
		case e.New != nil && n != nil:
			list = append(list, name+": "+auditText(n))
		case e.New == nil && o != nil:
			list = append(list, name+": "+auditText(o))
		}
	}
	return list
}

func auditNames(maps ...map[string]any) (list []string) {
	for _, m := range maps {
		for name := range m {
			if !slices.Contains(list, name) {
				list = append(list, name)
			}
		}
	}
	slices.Sort(list)
	return list
}

func auditText(v any) string {
	switch v := v.(type) {
	case nil:
		return "NULL"
	case float64:
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprint(v)
}

// AuditQuery says which changes are asked for; what is empty does not matter.
type AuditQuery struct {
	Text  string // in the row, the table, who, or a value
	Since time.Time
	Most  int
}

// Audits calls fn with the changes, in order; the newest q.Most of them.
func (m *Mail) Audits(ctx context.Context, q AuditQuery, fn func(AuditEntry) error) error {
	err := m.each(ctx, `SELECT auNum, auTime, auWho, auAction, auTable, auRow, auOld, auNew FROM Audit WHERE auNum IN (
			SELECT auNum FROM Audit WHERE auTime >= ?1 AND (?2 = '' OR instr(lower(auRow || char(10) || auTable || char(10) || auWho || char(10) ||
				auAction || char(10) || ifnull(auOld, '') || char(10) || ifnull(auNew, '')), ?2) > 0)
			ORDER BY auNum DESC LIMIT ?3) ORDER BY auNum`,
		[]any{q.Since.Unix(), strings.ToLower(q.Text), q.Most}, func(rows *sql.Rows) error {
			var e AuditEntry
			var at int64
			var was, is sql.NullString
			if err := rows.Scan(&e.Num, &at, &e.Who, &e.Action, &e.Table, &e.Row, &was, &is); err != nil {
				return err
			}
			e.Time = time.Unix(at, 0)
			if was.Valid {
				e.Old = json.RawMessage(was.String)
			}
			if is.Valid {
				e.New = json.RawMessage(is.String)
			}
			return fn(e)
		})
	return wrap("read the audit trail", err)
}
