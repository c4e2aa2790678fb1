-- A further version of state.sqlite: mail that goes over verified TLS only.

ALTER TABLE QMessage ADD COLUMN qmRequireTls INTEGER NOT NULL DEFAULT 0; -- 1: REQUIRETLS, RFC 8689
