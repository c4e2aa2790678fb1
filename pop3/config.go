package pop3

import (
	"fmt"
	"strings"
	"time"
)

// Config is the POP3 server's part of the settings, by their Dovecot names. It
// is asked for at every command.
type Config struct {
	// UIDLFormat is what UIDL tells of a message: %u its UID, %v the
	// UIDVALIDITY, %f the name of its file, %g its GUID. A message that another
	// server has given an identifier keeps that.
	UIDLFormat string `setting:"pop3_uidl_format" default:"%08Xu%08Xv"`
	// ReuseXUIDL tells the field X-UIDL of a message, where it has one, instead of
	// UIDLFormat. UIDL then reads the header of each message.
	ReuseXUIDL bool `setting:"pop3_reuse_xuidl" default:"no"`
	// UIDLDuplicates: allow, or rename, which adds -2, -3 and so on to the
	// identifiers of later messages that have that of an earlier one.
	UIDLDuplicates string `setting:"pop3_uidl_duplicates" default:"allow" values:"allow rename"`
	// NoFlagUpdates leaves \Seen and \Recent as they are.
	NoFlagUpdates bool `setting:"pop3_no_flag_updates" default:"no"`
	// DeleteType: expunge, or flag, which adds DeletedFlag instead. default is
	// flag if there is a DeletedFlag.
	DeleteType string `setting:"pop3_delete_type" default:"default" values:"default expunge flag"`
	// DeletedFlag is a keyword; messages that have it are not in the maildrop.
	DeletedFlag string `setting:"pop3_deleted_flag" default:""`
	// EnableLast offers LAST of RFC 1460; RSET then takes \Seen from all.
	EnableLast bool `setting:"pop3_enable_last" default:"no"`
	// LockSession allows one session of a user at a time.
	LockSession bool `setting:"pop3_lock_session" default:"no"`
	// Workarounds: outlook-no-nuls sends 0x80 for NUL, oe-ns-eoh an empty line
	// where a message without body has none.
	Workarounds []string `setting:"pop3_client_workarounds" default:""`
	// LogoutFormat is the end of the line logged when a session ends.
	LogoutFormat string `setting:"pop3_logout_format" default:"top=%t/%p, retr=%r/%b, del=%d/%m, size=%s"`
	// Greeting is the text of the first line.
	Greeting string `setting:"login_greeting" default:"$myhostname ready."`
	// Hostname is for the greeting.
	Hostname string `setting:"myhostname" default:"localhost"`
	// DisablePlaintext refuses passwords without TLS, except from this host.
	DisablePlaintext bool `setting:"disable_plaintext_auth" default:"yes"`
	// MaxUserIP bounds the sessions of one user from one address; 0: no bound.
	MaxUserIP int `setting:"mail_max_userip_connections" default:"10"`
	// MaxConnections bounds the connections of all listeners, Dovecot's
	// service pop3-login client_limit; 0: no bound.
	MaxConnections int `setting:"pop3_client_limit" default:"1000"`
}

// Validate returns the first value that cannot be acted on: "setting NAME: why".
func (c *Config) Validate() error {
	if _, err := parseFormat(c.UIDLFormat); err != nil {
		return fmt.Errorf("setting pop3_uidl_format: %w", err)
	}
	for _, w := range c.Workarounds {
		if w != noNULs && w != endOfHeader {
			return fmt.Errorf("setting pop3_client_workarounds: %q is neither %s nor %s", w, noNULs, endOfHeader)
		}
	}
	if c.DeleteType == "flag" && c.DeletedFlag == "" {
		return fmt.Errorf("setting pop3_delete_type: flag needs a pop3_deleted_flag")
	}
	if strings.ContainsAny(c.DeletedFlag, "\\ (){%*\"]") {
		return fmt.Errorf("setting pop3_deleted_flag: %q is not a keyword", c.DeletedFlag)
	}
	return nil
}

const (
	noNULs      = "outlook-no-nuls"
	endOfHeader = "oe-ns-eoh"
)

func (c *Config) worksAround(what string) bool {
	for _, w := range c.Workarounds {
		if w == what {
			return true
		}
	}
	return false
}

// flagsDeleted tells whether DELE is a keyword, not the end of the message.
func (c *Config) flagsDeleted() bool {
	return c.DeleteType == "flag" || c.DeleteType == "default" && c.DeletedFlag != ""
}

// Times that Dovecot has fixed too.
const (
	loginTimeout = 3 * time.Minute  // from the first byte until logged in
	idleTimeout  = 10 * time.Minute // RFC 1939 §3: at least 10 minutes
	readTimeout  = 2 * time.Minute  // for the rest of a line
	writeTimeout = 5 * time.Minute  // for a piece of a reply to be taken
	lockTimeout  = 10 * time.Second // for another session of the user to end
)

const (
	loginLine    = 16 << 10 // a line before the log-in: responses of SASL
	commandLine  = 2 << 10  // and after it; RFC 2449 §4 asks for 255 bytes
	maxBadLogin  = 3        // bad commands in a row before the log-in
	maxBad       = 20       // and after it
	maxAuthTries = 10       // failed log-ins of a connection
)
