package schema

import (
	"context"
	_ "embed"
	"strings"
	"time"
)

//go:embed state_trace.sql
var stateTraceDDL string

// TraceLine is a line of the log.
type TraceLine struct {
	Time  time.Time `json:"time"`
	Conn  string    `json:"conn,omitempty"`
	Queue string    `json:"queue_id,omitempty"`
	Text  string    `json:"text"`
}

// traceStep is how many lines one statement adds.
const traceStep = 32

var addTraceStep = `INSERT INTO Trace (tcTime, tcConn, tcQueue, tcText) VALUES (?, ?, ?, ?)` + strings.Repeat(`, (?, ?, ?, ?)`, traceStep-1)

// AddTrace keeps lines, and drops the oldest beyond most.
func (t *Tx) AddTrace(lines []TraceLine, most int) error {
	for len(lines) > 0 {
		n, insert := 1, `INSERT INTO Trace (tcTime, tcConn, tcQueue, tcText) VALUES (?, ?, ?, ?)`
		if len(lines) >= traceStep {
			n, insert = traceStep, addTraceStep
		}
		values := make([]any, 0, 4*traceStep)
		for _, l := range lines[:n] {
			values = append(values, l.Time.UnixMilli(), l.Conn, l.Queue, l.Text)
		}
		if err := t.exec(insert, values...); err != nil {
			return wrap("keep trace", err)
		}
		lines = lines[n:]
	}
	return wrap("keep trace", t.exec(`DELETE FROM Trace WHERE tcNum <= (SELECT max(tcNum) FROM Trace) - ?`, most))
}

// TraceQuery says which lines are asked for; what is empty does not matter.
type TraceQuery struct {
	Text  string // queue ID, address, client: lines that have it, and all of their messages and connections
	Since time.Time
	Most  int
}

// Trace calls each with the lines, in order; the newest q.Most of them.
func (s *State) Trace(ctx context.Context, q TraceQuery, each func(TraceLine) error) error {
	rows, err := s.query(ctx, `WITH hit AS (
			SELECT tcNum, tcConn, tcQueue FROM Trace WHERE tcTime >= ?1 AND (?2 = '' OR tcQueue = ?2 COLLATE NOCASE OR instr(lower(tcText), ?2) > 0)),
		mine AS (
			SELECT tcNum FROM hit
			UNION SELECT t.tcNum FROM hit JOIN Trace t ON t.tcQueue = hit.tcQueue WHERE hit.tcQueue <> ''
			UNION SELECT t.tcNum FROM hit JOIN Trace t ON t.tcConn = hit.tcConn WHERE hit.tcConn <> '')
		SELECT tcTime, tcConn, tcQueue, tcText FROM Trace WHERE tcNum IN (SELECT tcNum FROM mine ORDER BY tcNum DESC LIMIT ?3) ORDER BY tcNum`,
		q.Since.UnixMilli(), strings.ToLower(q.Text), q.Most)
	if err != nil {
		return wrap("read trace", err)
	}
	defer rows.Close()
	for rows.Next() {
		var l TraceLine
		var at int64
		if err := rows.Scan(&at, &l.Conn, &l.Queue, &l.Text); err != nil {
			return wrap("read trace", err)
		}
		l.Time = time.UnixMilli(at)
		if err := each(l); err != nil {
			return err
		}
	}
	return wrap("read trace", rows.Err())
}
