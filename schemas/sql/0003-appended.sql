-- A sign-in writes at the ends of tables, where those that share a commit share pages too. What it would
-- write at random places waits, and is written for many at once (daemon/store/tidy.c). Version 3.
--
--	session			rows after counter 'indexed-session' are in no index of theirs (indexed = 0),
--				and the identity they confirm has not been told so
--	used_late		stands before used_once; the writer holds it in memory
--	audit_about		rows of audit up to counter 'indexed-audit' by their object
--
-- All of it follows from rows that were committed with the sign-in. A reader looks through the later
-- rows itself.

ALTER TABLE session ADD COLUMN indexed INTEGER NOT NULL DEFAULT 0;
-- The identity that was read again, unchanged, when the session was opened; 0: none.
ALTER TABLE session ADD COLUMN identity INTEGER NOT NULL DEFAULT 0;
DROP INDEX session_uuid;
DROP INDEX session_user;
DROP INDEX session_name;
DROP INDEX session_until;
DROP INDEX session_seen;
UPDATE session SET indexed = 1;
CREATE INDEX session_uuid ON session (uuid) WHERE indexed = 1;
CREATE INDEX session_user ON session (user) WHERE indexed = 1;
-- A logout of the IdP finds them by name.
CREATE INDEX session_name ON session (source, name_id) WHERE indexed = 1 AND name_id <> '';
CREATE INDEX session_until ON session (until_s) WHERE indexed = 1;
CREATE INDEX session_seen ON session (seen_s) WHERE indexed = 1;
INSERT INTO counter (name, value)
SELECT 'indexed-session', coalesce(max(id), 0) FROM session;

-- Tokens are found in memory; that 256 random bits come twice needs no index to be ruled out.
DROP INDEX session_token_hash;

CREATE TABLE used_late (
	row INTEGER PRIMARY KEY,
	kind INTEGER NOT NULL,
	source INTEGER NOT NULL,
	id BLOB NOT NULL CHECK (length(id) = 16),
	until_s INTEGER NOT NULL
) STRICT;

CREATE TABLE audit_about (
	object ANY NOT NULL,
	seq INTEGER NOT NULL,
	PRIMARY KEY (object, seq)
) STRICT, WITHOUT ROWID;
INSERT INTO audit_about (object, seq) SELECT object, seq FROM audit ORDER BY object, seq;
DROP INDEX audit_object;
INSERT INTO counter (name, value) SELECT 'indexed-audit', coalesce(max(seq), 0) FROM audit;
-- A request that has a UUID for its name: most come once. The number of its name is 0 then.
ALTER TABLE audit ADD COLUMN request_uuid BLOB;
