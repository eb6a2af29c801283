-- What applications have told about their things, and who is responsible for them. Version 8.
--
-- A resource's row number is never given twice and grows: lists go on after it. All resources of a tree are of
-- one application and one organization.

CREATE TABLE resource (
	row INTEGER PRIMARY KEY AUTOINCREMENT,
	application INTEGER NOT NULL, -- name
	type INTEGER NOT NULL, -- name
	id TEXT NOT NULL CHECK (id <> ''),
	parent INTEGER REFERENCES resource (row), -- NULL: a root
	owner INTEGER REFERENCES user (id), -- NULL: nobody has it
	organization INTEGER NOT NULL,
	title TEXT NOT NULL,
	version INTEGER NOT NULL,
	created_s INTEGER NOT NULL,
	updated_s INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX resource_key ON resource (application, type, id);
CREATE INDEX resource_type ON resource (application, type);
CREATE INDEX resource_parent ON resource (parent) WHERE parent IS NOT NULL;
CREATE INDEX resource_owner ON resource (owner) WHERE owner IS NOT NULL;

CREATE TABLE reference (
	row INTEGER PRIMARY KEY AUTOINCREMENT,
	application INTEGER NOT NULL, -- name
	kind INTEGER NOT NULL, -- name
	id TEXT NOT NULL CHECK (id <> ''),
	user INTEGER NOT NULL REFERENCES user (id),
	label TEXT NOT NULL,
	version INTEGER NOT NULL,
	created_s INTEGER NOT NULL,
	updated_s INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX reference_key ON reference (application, kind, id);
CREATE INDEX reference_user ON reference (user);

-- Users who may not work any more and have something of these: what they have waits for somebody else.
CREATE TABLE orphaning (
	user INTEGER PRIMARY KEY REFERENCES user (id),
	since_s INTEGER NOT NULL
) STRICT;
