-- What targets are still to be told. Version 20.
--
-- A row is about one person and one target. Of the rows of a person that wait for the same target only the first is
-- ever due: the others have next_s -1 until it is gone. A target that keeps a state has one row of a person at most,
-- whose version grows with what is folded into it.

CREATE TABLE delivery (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	uuid BLOB NOT NULL UNIQUE CHECK (length(uuid) = 16),
	target INTEGER NOT NULL,
	user INTEGER NOT NULL,
	event INTEGER NOT NULL CHECK (event > 0),
	detail TEXT NOT NULL,
	version INTEGER NOT NULL DEFAULT 1,
	created_s INTEGER NOT NULL,
	attempts INTEGER NOT NULL DEFAULT 0,
	next_s INTEGER NOT NULL CHECK (next_s >= -1),
	dead_s INTEGER NOT NULL DEFAULT 0,
	code TEXT NOT NULL DEFAULT '',
	problem TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX delivery_due ON delivery (target, next_s, id) WHERE dead_s = 0 AND next_s >= 0;
CREATE INDEX delivery_person ON delivery (target, user, dead_s, id);
CREATE INDEX delivery_dead ON delivery (target, id) WHERE dead_s <> 0;
