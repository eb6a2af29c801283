-- Metadata of identity providers as administrators handed it over. Version 15.
--
-- A source among the definitions names it by its fingerprint, so that body and audit log stay short. It is the text
-- of others: nothing but a worker reads it. What no source names any more goes.

CREATE TABLE document (
	fingerprint TEXT PRIMARY KEY CHECK (fingerprint <> ''), -- "sha256:" and 64 hex digits
	body TEXT NOT NULL,
	created_s INTEGER NOT NULL
) STRICT;
