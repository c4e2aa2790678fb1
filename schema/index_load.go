package schema

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
)

// LoadMessages calls fn for the messages of a mailbox with UIDs first to last,
// in order, with what an open mailbox keeps of them: UID, ModSeq, Flags, Size,
// Date. A large mailbox has very many, so the driver is asked directly: package
// sql costs as much as SQLite.
func (s *State) LoadMessages(ctx context.Context, mailbox int64, first, last uint32, fn func(*IndexMessage) error) error {
	var m IndexMessage
	return s.eachInts(ctx, `SELECT msgKey, msgModSeq, msgFlags, msgSize, msgDate FROM Message WHERE msgKey BETWEEN ? AND ?`,
		[]int64{messageKey(mailbox, first), messageKey(mailbox, last)}, 5, func(row []int64) error {
			m.UID, m.ModSeq, m.Flags, m.Size, m.Date = keyUID(row[0]), uint64(row[1]), uint64(row[2]), row[3], row[4]
			return fn(&m)
		})
}

// eachInts calls fn for the rows of a query whose columns are all numbers.
func (s *State) eachInts(ctx context.Context, query string, args []int64, columns int, fn func([]int64) error) error {
	conn, err := s.r.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Raw(func(c any) error {
		q, ok := c.(driver.QueryerContext)
		if !ok {
			return errors.New("the driver of SQLite has no QueryContext")
		}
		named := make([]driver.NamedValue, len(args))
		for i, a := range args {
			named[i] = driver.NamedValue{Ordinal: i + 1, Value: a}
		}
		rows, err := q.QueryContext(reading(ctx), query, named)
		if err != nil {
			return err
		}
		defer rows.Close()
		return eachIntRow(rows, columns, fn)
	})
}

func eachIntRow(rows driver.Rows, columns int, fn func([]int64) error) error {
	values, numbers := make([]driver.Value, columns), make([]int64, columns)
	for {
		err := rows.Next(values)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		for i, v := range values {
			n, ok := v.(int64)
			if !ok {
				return fmt.Errorf("a number is %T in the index", v)
			}
			numbers[i] = n
		}
		if err := fn(numbers); err != nil {
			return err
		}
	}
}
