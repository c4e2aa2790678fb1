-- A further version of mail.sqlite: listeners.

ALTER TABLE Listener ADD COLUMN lsProxy INTEGER NOT NULL DEFAULT 0; -- 1: clients are proxies of haproxy_trusted_networks
ALTER TABLE Listener ADD COLUMN lsInterface TEXT;                   -- NULL: every network interface
ALTER TABLE Listener ADD COLUMN lsMode TEXT;                        -- of a unix: path, such as 0660; NULL: by the umask
