-- What administrators define beside the files: profiles, roles, personas, rules. Version 7.
--
-- body is the JSON that the configuration would hold; it becomes part of the configuration at each load.
-- A rule that is being changed stands twice: as it is in force, and its draft. A version is never
-- given twice, so that whoever saw one that is gone does not take the next of that name for it.

CREATE TABLE definition (
	kind TEXT NOT NULL CHECK (kind <> ''),
	name TEXT NOT NULL CHECK (name <> ''),
	draft INTEGER NOT NULL CHECK (draft IN (0, 1)),
	version INTEGER NOT NULL,
	position INTEGER NOT NULL, -- order of rules
	organization INTEGER NOT NULL,
	body TEXT NOT NULL,
	created_s INTEGER NOT NULL,
	updated_s INTEGER NOT NULL,
	actor INTEGER NOT NULL, -- of the last change
	PRIMARY KEY (kind, name, draft)
) STRICT, WITHOUT ROWID;
INSERT INTO counter (name, value) VALUES ('definition-version', 0);
