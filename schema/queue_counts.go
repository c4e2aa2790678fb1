package schema

import "context"

// queueStates names the values of QueueState for people.
var queueStates = []string{"waiting", "active", "hold", "failed", "delivered"}

// QueueStates are the names of the states of recipients in the queue.
func QueueStates() []string { return append([]string(nil), queueStates...) }

// QueueCounts returns how many recipients are in each state. It reads an index,
// no messages.
func (s *State) QueueCounts(ctx context.Context) (map[string]int, error) {
	counts := make(map[string]int)
	rows, err := s.query(ctx, `SELECT qrState, count(*) FROM QRecipient GROUP BY qrState`)
	if err != nil {
		return nil, wrap("count queue", err)
	}
	defer rows.Close()
	for rows.Next() {
		var state, n int
		if err := rows.Scan(&state, &n); err != nil {
			return nil, wrap("count queue", err)
		}
		if state >= 0 && state < len(queueStates) {
			counts[queueStates[state]] = n
		}
	}
	return counts, wrap("count queue", rows.Err())
}
