package control

import "time"

// Session is a connection of a client, as an administrator sees it.
type Session struct {
	Proto  string    `json:"proto"`
	ID     string    `json:"id"`   // as in the log
	User   string    `json:"user"` // '' before the log-in
	Remote string    `json:"remote"`
	TLS    bool      `json:"tls"`
	Begun  time.Time `json:"begun"`
}
