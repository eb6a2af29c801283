-- The first schema. Run once, in one transaction, by the migration to version 1;
-- never edit it after a release: add 0002-….sql.
--
-- Numbers stand for texts that repeat: organization, source and name hold each text once and
-- rows never leave them. In name, 0 stands for the empty text and has no row.
-- Columns of type ANY hold a UUID in canonical lower-case text form as 16 bytes, all else as text.
-- disabled is a bit mask: 255 are the reasons that make a user inactive, 32 is the tombstone.
--
-- What a new user would meet at random places of a large table costs more than all their rows: a
-- batch of 500 would rewrite as many pages of each such index. It waits for idle time, where it is
-- filled in order and in short transactions:
--
--	login				user names and addresses of users up to counter 'named-user'
--	identity_key			keys of identities of users up to it
--	user_display, grant_holder	display names (indexed = 1) and holders up to 'indexed-user'
--
-- A reader looks through the rows of later users itself. That no two users have one name, and no two
-- identities one key, holds at every moment all the same: the writer looks for it in login, or
-- identity_key, and among the users after 'named-user', within the transaction that gives it to somebody.
--
-- Users are never removed and numbered without gaps, so that a number up to the last one needs no
-- foreign key; neither does one that the store looked up in organization, source or name.

CREATE TABLE organization (
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE CHECK (name <> '')
) STRICT;
INSERT INTO organization (name) VALUES ('default');

CREATE TABLE source (
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE CHECK (name <> ''),
	last_read_s INTEGER NOT NULL DEFAULT 0,
	last_complete_s INTEGER NOT NULL DEFAULT 0,
	entries INTEGER NOT NULL DEFAULT 0,
	last_problem TEXT NOT NULL DEFAULT '',
	server TEXT NOT NULL DEFAULT ''
) STRICT;

-- Profiles, roles, personas, local groups, rules, actors, actions, requests.
CREATE TABLE name (
	id INTEGER PRIMARY KEY,
	text TEXT NOT NULL UNIQUE CHECK (text <> '')
) STRICT;

CREATE TABLE user (
	id INTEGER PRIMARY KEY,
	uuid BLOB NOT NULL CHECK (length(uuid) = 16),
	organization INTEGER NOT NULL,
	username TEXT NOT NULL CHECK (username <> ''),
	email TEXT NOT NULL,
	display_name TEXT NOT NULL,
	display_folded TEXT NOT NULL,
	profile INTEGER NOT NULL,
	disabled INTEGER NOT NULL,
	is_protected INTEGER NOT NULL,
	version INTEGER NOT NULL,
	created_s INTEGER NOT NULL,
	updated_s INTEGER NOT NULL,
	indexed INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX user_uuid ON user (uuid);
CREATE INDEX user_display ON user (display_folded) WHERE indexed = 1;
CREATE INDEX user_active ON user (organization, profile) WHERE (disabled & 255) = 0;
CREATE INDEX user_inactive ON user (organization) WHERE (disabled & 255) <> 0;

-- User names (1) and addresses (2), each unique. One table for both: a name and the address made of
-- it lie side by side. Tombstones keep their user name for good, but set their address free. A change
-- of names is written at once, also of a user who is not in it yet.
CREATE TABLE login (
	text TEXT NOT NULL,
	kind INTEGER NOT NULL,
	user INTEGER NOT NULL,
	PRIMARY KEY (text, kind)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER user_login_update AFTER UPDATE OF username, email, disabled ON user
WHEN old.username <> new.username OR old.email <> new.email OR
	(old.disabled & 32) <> (new.disabled & 32)
BEGIN
	DELETE FROM login WHERE text = old.username AND kind = 1;
	DELETE FROM login WHERE text = old.email AND kind = 2 AND user = old.id;
	INSERT INTO login (text, kind, user) VALUES (new.username, 1, new.id);
	INSERT INTO login (text, kind, user) SELECT new.email, 2, new.id
	WHERE new.email <> '' AND (new.disabled & 32) = 0;
END;

-- The id is user * 65536 + a number from 0: a person's identities lie side by side, no index. Heads
-- are small, so that all of them are read in one short pass; the records lie apart under the same id.
CREATE TABLE identity (
	id INTEGER PRIMARY KEY,
	source INTEGER NOT NULL,
	key ANY NOT NULL,
	digest BLOB NOT NULL CHECK (length(digest) = 16),
	read_s INTEGER NOT NULL,
	missing_s INTEGER NOT NULL,
	missing_runs INTEGER NOT NULL
) STRICT;
CREATE TABLE identity_record (
	id INTEGER PRIMARY KEY,
	record BLOB NOT NULL
) STRICT;
-- Each key is there once, or belongs to a user who comes after 'named-user' and was added with it. What
-- is added to a user later is written here at once, and so is the new place of an identity that moves.
CREATE TABLE identity_key (
	source INTEGER NOT NULL,
	key ANY NOT NULL,
	id INTEGER NOT NULL,
	PRIMARY KEY (source, key)
) STRICT, WITHOUT ROWID;

-- All grants of a user are one text, which is written once for a new user and read at once: a JSON
-- array of [kind, name, origin, origin's id, origin's source, given, expires], without spaces and in
-- order; the first five are never the same twice.
CREATE TABLE user_grant (
	user INTEGER PRIMARY KEY,
	grants TEXT NOT NULL
) STRICT;
-- Users up to counter 'indexed-user' by what they hold, each once.
CREATE TABLE grant_holder (
	kind INTEGER NOT NULL,
	name INTEGER NOT NULL,
	user INTEGER NOT NULL,
	PRIMARY KEY (kind, name, user)
) STRICT, WITHOUT ROWID;
-- Users by the times at which grants of theirs expire.
CREATE TABLE grant_expiry (
	expires_s INTEGER NOT NULL,
	user INTEGER NOT NULL,
	PRIMARY KEY (expires_s, user)
) STRICT, WITHOUT ROWID;

CREATE TABLE group_registry (
	id INTEGER PRIMARY KEY CHECK (id > 0),
	name TEXT NOT NULL UNIQUE,
	found INTEGER NOT NULL,
	vanished INTEGER NOT NULL,
	released INTEGER NOT NULL,
	members INTEGER NOT NULL,
	vanished_s INTEGER NOT NULL
) STRICT;
CREATE TABLE counter (
	name TEXT PRIMARY KEY,
	value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counter (name, value)
VALUES ('next-group', 1), ('indexed-user', 0), ('named-user', 0);

CREATE TABLE plan (
	row INTEGER PRIMARY KEY AUTOINCREMENT,
	id TEXT NOT NULL DEFAULT '',
	state INTEGER NOT NULL CHECK (state BETWEEN 1 AND 6),
	source TEXT NOT NULL,
	actor TEXT NOT NULL,
	created_s INTEGER NOT NULL,
	finished_s INTEGER NOT NULL DEFAULT 0,
	batches INTEGER NOT NULL DEFAULT 0,
	batches_done INTEGER NOT NULL DEFAULT 0,
	summary TEXT NOT NULL DEFAULT '',
	holds BLOB NOT NULL DEFAULT x''
) STRICT;
-- The same held content has the same id: history may hold an id more than once.
CREATE INDEX plan_id ON plan (id) WHERE id <> '';
CREATE INDEX plan_state ON plan (state);
CREATE TABLE plan_batch (
	plan INTEGER NOT NULL REFERENCES plan (row) ON DELETE CASCADE,
	seq INTEGER NOT NULL,
	data BLOB NOT NULL,
	PRIMARY KEY (plan, seq)
) STRICT;

-- Events of one second are one row.
CREATE TABLE window_event (
	kind TEXT NOT NULL,
	subject TEXT NOT NULL,
	at_s INTEGER NOT NULL,
	n INTEGER NOT NULL,
	PRIMARY KEY (kind, subject, at_s)
) STRICT, WITHOUT ROWID;
CREATE INDEX window_time ON window_event (at_s);

CREATE TABLE quarantine (
	source INTEGER NOT NULL REFERENCES source (id),
	locator TEXT NOT NULL,
	key TEXT NOT NULL,
	reason TEXT NOT NULL,
	detail TEXT NOT NULL,
	since_s INTEGER NOT NULL,
	seen_s INTEGER NOT NULL,
	PRIMARY KEY (source, locator)
) STRICT, WITHOUT ROWID;

CREATE TABLE alarm (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	kind TEXT NOT NULL,
	subject TEXT NOT NULL,
	text TEXT NOT NULL,
	since_s INTEGER NOT NULL,
	cleared_s INTEGER NOT NULL DEFAULT 0,
	cleared_by TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE UNIQUE INDEX alarm_open ON alarm (kind, subject) WHERE cleared_s = 0;

CREATE TABLE audit (
	seq INTEGER PRIMARY KEY,
	at_s INTEGER NOT NULL,
	actor INTEGER NOT NULL,
	action INTEGER NOT NULL,
	object ANY NOT NULL,
	request INTEGER NOT NULL,
	detail TEXT NOT NULL,
	hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE INDEX audit_object ON audit (object);

CREATE TABLE meta (
	name TEXT PRIMARY KEY,
	value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What the rest stands on is only ever added to.
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
BEGIN
	SELECT raise(ABORT, 'audit rows never change');
END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
BEGIN
	SELECT raise(ABORT, 'audit rows are never removed');
END;
CREATE TRIGGER name_no_update BEFORE UPDATE ON name
BEGIN
	SELECT raise(ABORT, 'names never change');
END;
CREATE TRIGGER name_no_delete BEFORE DELETE ON name
BEGIN
	SELECT raise(ABORT, 'names are never removed');
END;
CREATE TRIGGER user_no_delete BEFORE DELETE ON user
BEGIN
	SELECT raise(ABORT, 'users leave a tombstone');
END;
