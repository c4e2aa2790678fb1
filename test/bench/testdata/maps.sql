CREATE TABLE domains (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE users (id INTEGER PRIMARY KEY, domain INTEGER NOT NULL, name TEXT NOT NULL, password TEXT NOT NULL, UNIQUE (domain, name));
CREATE TABLE aliases (id INTEGER PRIMARY KEY, domain INTEGER NOT NULL, name TEXT NOT NULL, target TEXT NOT NULL, UNIQUE (domain, name, target));
INSERT INTO domains VALUES (1, '{{.Domain}}');
{{range users}}INSERT INTO users (domain, name, password) VALUES (1, '{{.}}', '{PLAIN}secret');
{{end}}INSERT INTO aliases (domain, name, target) VALUES (1, 'postmaster', 'u000@{{.Domain}}');
