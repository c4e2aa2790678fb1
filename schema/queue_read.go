package schema

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// QueueMessage returns a message; nil if it is not in the queue.
func (s *State) QueueMessage(ctx context.Context, id string) (*QueueMessage, error) {
	row, err := s.queryRow(ctx, `SELECT `+queueMessageColumns+` FROM QMessage WHERE qmId = ?`, id)
	if err != nil {
		return nil, fmt.Errorf("read queue: %w", err)
	}
	m, err := scanQueueMessage(row.Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return m, wrap("read queue", err)
}

// QueueRecipients returns the recipients of a message, in their order.
func (s *State) QueueRecipients(ctx context.Context, id string) ([]QueueRecipient, error) {
	rows, err := s.query(ctx, `SELECT `+queueRecipientColumns+` FROM QRecipient WHERE qrMsg = ? ORDER BY qrNum`, id)
	if err != nil {
		return nil, fmt.Errorf("read queue: %w", err)
	}
	return scanQueueRecipients(rows)
}

// QueuePage returns up to limit messages whose IDs follow after.
func (s *State) QueuePage(ctx context.Context, after string, limit int) ([]*QueueMessage, error) {
	rows, err := s.query(ctx, `SELECT `+queueMessageColumns+` FROM QMessage WHERE qmId > ? ORDER BY qmId LIMIT ?`, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read queue: %w", err)
	}
	defer rows.Close()
	var list []*QueueMessage
	for rows.Next() {
		m, err := scanQueueMessage(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("read queue: %w", err)
		}
		list = append(list, m)
	}
	return list, wrap("read queue", rows.Err())
}

// QueueNext returns when the next waiting recipient is due; ok is false when
// none waits.
func (s *State) QueueNext(ctx context.Context) (due time.Time, ok bool, err error) {
	row, err := s.queryRow(ctx, `SELECT min(due) FROM (
		SELECT min(qrDue) AS due FROM QRecipient WHERE qrState = 0 AND qrAttempts > 0 UNION ALL
		SELECT min(qrDue) FROM QRecipient WHERE qrState = 0 AND qrAttempts = 0)`)
	if err != nil {
		return time.Time{}, false, fmt.Errorf("read queue: %w", err)
	}
	var n sql.NullInt64
	if err := row.Scan(&n); err != nil {
		return time.Time{}, false, fmt.Errorf("read queue: %w", err)
	}
	return time.Unix(n.Int64, 0), n.Valid, nil
}

// QueueUnreported returns up to limit IDs after the given one of messages
// with an outcome that the sender is not told yet.
func (s *State) QueueUnreported(ctx context.Context, after string, limit int) ([]string, error) {
	rows, err := s.query(ctx, `SELECT DISTINCT qrMsg FROM QRecipient WHERE qrState IN (3, 4) AND qrMsg > ? ORDER BY qrMsg LIMIT ?`, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read queue: %w", err)
	}
	return scanStrings(rows)
}

// QueueStrangers returns those of ids that are not in the queue.
func (s *State) QueueStrangers(ctx context.Context, ids []string) ([]string, error) {
	list, err := json.Marshal(ids)
	if err != nil {
		return nil, err
	}
	rows, err := s.query(ctx, `SELECT value FROM json_each(?) WHERE NOT EXISTS (SELECT 1 FROM QMessage WHERE qmId = value)`, string(list))
	if err != nil {
		return nil, fmt.Errorf("read queue: %w", err)
	}
	return scanStrings(rows)
}

func scanStrings(rows *sql.Rows) ([]string, error) {
	defer rows.Close()
	var list []string
	for rows.Next() {
		var one string
		if err := rows.Scan(&one); err != nil {
			return nil, fmt.Errorf("read queue: %w", err)
		}
		list = append(list, one)
	}
	return list, wrap("read queue", rows.Err())
}
