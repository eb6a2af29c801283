-- Invites, and mail that waits to be sent. Version 9.
--
-- Of an invite's link nothing is kept: it is made, and recognised, from the invite's uuid and generation with
-- a key that lies outside of the store. A new generation makes the links before it void.
--
--	ended	0 nobody came yet: pending until expires_s, then expired; 1 accepted; 2 revoked
--	inviter	whose authority it stands on: a user (0: nobody of the store), limited or not, and
--		what a token left of it (invite_scope, when scoped)

CREATE TABLE invite (
	id INTEGER PRIMARY KEY,
	uuid BLOB NOT NULL UNIQUE CHECK (length(uuid) = 16),
	organization INTEGER NOT NULL,
	email TEXT NOT NULL CHECK (email <> ''),
	username TEXT NOT NULL CHECK (username <> ''),
	display_name TEXT NOT NULL,
	generation INTEGER NOT NULL,
	actor INTEGER NOT NULL,
	inviter INTEGER NOT NULL,
	limited INTEGER NOT NULL,
	scoped INTEGER NOT NULL,
	service INTEGER NOT NULL,
	created_s INTEGER NOT NULL,
	sent_s INTEGER NOT NULL,
	expires_s INTEGER NOT NULL,
	mailed_s INTEGER NOT NULL DEFAULT 0,
	mail_problem TEXT NOT NULL DEFAULT '',
	ended INTEGER NOT NULL DEFAULT 0 CHECK (ended BETWEEN 0 AND 2),
	ended_s INTEGER NOT NULL DEFAULT 0,
	user INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX invite_email ON invite (email) WHERE ended = 0;
CREATE INDEX invite_user ON invite (user) WHERE user <> 0;
-- What it gives, the profile among it.
CREATE TABLE invite_grant (
	invite INTEGER NOT NULL REFERENCES invite (id) ON DELETE CASCADE,
	kind INTEGER NOT NULL,
	name INTEGER NOT NULL,
	PRIMARY KEY (invite, kind, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE invite_scope (
	invite INTEGER NOT NULL REFERENCES invite (id) ON DELETE CASCADE,
	permission INTEGER NOT NULL,
	PRIMARY KEY (invite, permission)
) STRICT, WITHOUT ROWID;

-- What is to be delivered: noted in the transaction that wants it, gone when it is done. The message itself
-- is made when it is sent, from what kind and subject name; message_id is the same at each attempt.
CREATE TABLE outbox (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	kind TEXT NOT NULL CHECK (kind <> ''),
	subject TEXT NOT NULL,
	number INTEGER NOT NULL,
	message_id TEXT NOT NULL,
	created_s INTEGER NOT NULL,
	attempts INTEGER NOT NULL DEFAULT 0,
	next_s INTEGER NOT NULL,
	problem TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX outbox_next ON outbox (next_s);

-- Users by the id that a file of people gives them, each unique in its organization.
CREATE TABLE external_user (
	organization INTEGER NOT NULL,
	id TEXT NOT NULL CHECK (id <> ''),
	user INTEGER NOT NULL UNIQUE,
	PRIMARY KEY (organization, id)
) STRICT, WITHOUT ROWID;
