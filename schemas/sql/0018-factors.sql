-- Second factors and recovery codes. Version 18.
--
-- A factor waits until it is confirmed: in the session that began it, until until_s. What must stay secret (the
-- secret of an app, an address) is sealed under a key that lies outside of the store, whose number key says. A public
-- key of WebAuthn is none.
--
--	version	grows with each change of what the factor is: what was looked at before and is used now is the same
--	counter	the last step (TOTP) or sign count (WebAuthn) that was used: the next one is greater

CREATE TABLE factor (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	uuid BLOB NOT NULL UNIQUE CHECK (length(uuid) = 16),
	user INTEGER NOT NULL REFERENCES user (id),
	method INTEGER NOT NULL CHECK (method BETWEEN 1 AND 4),
	name TEXT NOT NULL CHECK (name <> ''),
	version INTEGER NOT NULL,
	confirmed_s INTEGER NOT NULL, -- 0: waits
	session INTEGER NOT NULL,
	until_s INTEGER NOT NULL,
	sealed BLOB,
	key INTEGER NOT NULL, -- 0: nothing is sealed
	hint TEXT NOT NULL,
	counter INTEGER NOT NULL,
	credential BLOB,
	public_key BLOB,
	model BLOB CHECK (length(model) = 16),
	user_verified INTEGER NOT NULL,
	backed_up INTEGER NOT NULL,
	created_s INTEGER NOT NULL,
	used_s INTEGER NOT NULL,
	CHECK ((method = 2) = (credential IS NOT NULL)),
	CHECK ((sealed IS NULL) = (key = 0))
) STRICT;
CREATE INDEX factor_user ON factor (user, method);
CREATE UNIQUE INDEX factor_credential ON factor (credential) WHERE credential IS NOT NULL;
CREATE INDEX factor_waiting ON factor (until_s) WHERE confirmed_s = 0;
CREATE INDEX factor_key ON factor (key, id) WHERE key <> 0;

-- The last code that was sent for a factor. The code is made, and recognised, from session, factor and generation
-- with a key that lies outside of the store. Tries are counted before the code is looked at.
CREATE TABLE challenge (
	factor INTEGER PRIMARY KEY REFERENCES factor (id) ON DELETE CASCADE,
	session INTEGER NOT NULL,
	generation INTEGER NOT NULL,
	sent_s INTEGER NOT NULL,
	until_s INTEGER NOT NULL,
	tries INTEGER NOT NULL,
	sends INTEGER NOT NULL,
	used INTEGER NOT NULL
) STRICT;

-- Recovery codes: slots 0 to 9 are those on paper, 10 is the one that an administrator gave. hash: Argon2id, or empty
-- once the code was used.
CREATE TABLE recovery_code (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	user INTEGER NOT NULL REFERENCES user (id),
	slot INTEGER NOT NULL CHECK (slot BETWEEN 0 AND 10),
	hash TEXT NOT NULL,
	created_s INTEGER NOT NULL,
	used_s INTEGER NOT NULL,
	until_s INTEGER NOT NULL, -- 0: for ever
	issuer INTEGER NOT NULL, -- of name
	UNIQUE (user, slot)
) STRICT;

-- Challenges that an authenticator signed: each is good once. id: a digest.
CREATE TABLE challenge_used (
	id BLOB PRIMARY KEY CHECK (length(id) = 16),
	until_s INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX challenge_used_until ON challenge_used (until_s);
