-- Signing in: sessions, their tokens, and what may be used once. Version 2.

-- A number is never given twice: codes and forms speak of sessions by it.
CREATE TABLE session (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	uuid BLOB NOT NULL CHECK (length(uuid) = 16),
	user INTEGER NOT NULL REFERENCES user (id),
	source INTEGER NOT NULL, -- 0: local sign-in
	name_id TEXT NOT NULL,
	name_id_format INTEGER NOT NULL,
	session_index TEXT NOT NULL,
	address TEXT NOT NULL,
	agent TEXT NOT NULL,
	created_s INTEGER NOT NULL,
	seen_s INTEGER NOT NULL,
	until_s INTEGER NOT NULL,
	second_factor_s INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX session_uuid ON session (uuid);
CREATE INDEX session_user ON session (user);
-- A logout of the IdP finds them by name.
CREATE INDEX session_name ON session (source, name_id) WHERE name_id <> '';
CREATE INDEX session_until ON session (until_s);
CREATE INDEX session_seen ON session (seen_s);

CREATE TABLE session_token (
	session INTEGER NOT NULL REFERENCES session (id) ON DELETE CASCADE,
	hash BLOB NOT NULL CHECK (length(hash) = 32),
	host TEXT NOT NULL,
	created_s INTEGER NOT NULL,
	PRIMARY KEY (session, hash)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX session_token_hash ON session_token (hash);

-- id: a digest, whatever length the other side's identifiers have.
CREATE TABLE used_once (
	kind INTEGER NOT NULL,
	source INTEGER NOT NULL REFERENCES source (id),
	id BLOB NOT NULL CHECK (length(id) = 16),
	until_s INTEGER NOT NULL,
	PRIMARY KEY (kind, source, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX used_once_until ON used_once (until_s);
