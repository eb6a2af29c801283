-- What waits since the store was put in place from a backup. Version 21.
--
-- One row, or none when it never was. A time of 0: it waits still. restoration_read: sources that were read whole since;
-- once all were, signing in opens.

CREATE TABLE restoration (
	id INTEGER PRIMARY KEY CHECK (id = 1),
	at_s INTEGER NOT NULL,
	made_s INTEGER NOT NULL, -- of the backup; 0: unknown
	sign_in_open_s INTEGER NOT NULL,
	delivery_open_s INTEGER NOT NULL
) STRICT;
CREATE TABLE restoration_read (
	source INTEGER PRIMARY KEY REFERENCES source (id)
) STRICT;
