-- What is known of personas beside their definitions, wherever these stand. Version 11.
--
-- A row of persona stands for a name from its first sight until the persona is deleted; one of the same name later
-- is another row. Its records then wait in persona_gone to be removed a few at a time: a record whose persona has
-- no row is nobody's.

CREATE TABLE persona (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	name TEXT NOT NULL CHECK (name <> ''),
	noted_s INTEGER NOT NULL, -- since when there is one of this name
	reviewed_s INTEGER NOT NULL DEFAULT 0, -- 0: never
	reviewed_by INTEGER NOT NULL DEFAULT 0, -- of name
	next_due_s INTEGER NOT NULL DEFAULT 0, -- as the last review says; 0: it does not
	entries INTEGER NOT NULL DEFAULT 0, -- of research, and what they count
	interviews INTEGER NOT NULL DEFAULT 0,
	tickets INTEGER NOT NULL DEFAULT 0,
	usage INTEGER NOT NULL DEFAULT 0,
	crm INTEGER NOT NULL DEFAULT 0,
	yes INTEGER NOT NULL DEFAULT 0, -- validations
	partly INTEGER NOT NULL DEFAULT 0,
	no INTEGER NOT NULL DEFAULT 0,
	reviews INTEGER NOT NULL DEFAULT 0,
	links INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX persona_name ON persona (name);

CREATE TABLE persona_record (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	persona INTEGER NOT NULL,
	type INTEGER NOT NULL CHECK (type BETWEEN 1 AND 4), -- research, validation, review, link
	kind INTEGER NOT NULL, -- interview …; yes, partly, no; 0 of a review; story …
	at_s INTEGER NOT NULL,
	number INTEGER NOT NULL, -- how many; of a review: when the next one is due
	user INTEGER REFERENCES user (id), -- who answered; NULL: no user
	title TEXT NOT NULL, -- of a link; of a validation: who answered and is no user
	text TEXT NOT NULL,
	url TEXT NOT NULL,
	actor INTEGER NOT NULL -- of name
) STRICT;
CREATE INDEX persona_record_of ON persona_record (persona, type, id);
-- Each answers once.
CREATE UNIQUE INDEX persona_record_user ON persona_record (persona, user) WHERE type = 2 AND user IS NOT NULL;
CREATE UNIQUE INDEX persona_record_title ON persona_record (persona, title) WHERE type = 2 AND user IS NULL;
CREATE UNIQUE INDEX persona_record_url ON persona_record (persona, url) WHERE type = 4;

CREATE TABLE persona_gone (
	persona INTEGER PRIMARY KEY
) STRICT;
