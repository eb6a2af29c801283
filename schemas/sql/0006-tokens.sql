-- Tokens of the API. Version 6.
--
-- Only the hash is kept. Either user or service says whose a token is: a person, whose permissions it
-- has, or a service, which has none but the scope. scope holds permissions with spaces between them, or is
-- empty: all that the person may.

CREATE TABLE token (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	uuid BLOB NOT NULL CHECK (length(uuid) = 16),
	hash BLOB NOT NULL CHECK (length(hash) = 32),
	name TEXT NOT NULL CHECK (name <> ''),
	user INTEGER NOT NULL, -- 0: a service's
	service INTEGER NOT NULL, -- of name; 0: a person's
	organization INTEGER NOT NULL,
	application INTEGER NOT NULL, -- of name: whose resources it is for; 0: no matter whose
	scope TEXT NOT NULL,
	created_s INTEGER NOT NULL,
	created_by INTEGER NOT NULL, -- of name
	expires_s INTEGER NOT NULL,
	used_s INTEGER NOT NULL, -- 0: never; no more often than every few minutes
	revoked_s INTEGER NOT NULL, -- 0: it is not
	CHECK ((user = 0) <> (service = 0)),
	CHECK (service = 0 OR scope <> '')
) STRICT;
CREATE UNIQUE INDEX token_uuid ON token (uuid);
CREATE UNIQUE INDEX token_hash ON token (hash);
-- People tell the tokens of one owner apart by name.
CREATE UNIQUE INDEX token_name ON token (user, service, organization, name) WHERE revoked_s = 0;

-- Whom a service made: it changes nobody else.
CREATE TABLE service_user (
	user INTEGER PRIMARY KEY,
	service INTEGER NOT NULL -- of name
) STRICT;
