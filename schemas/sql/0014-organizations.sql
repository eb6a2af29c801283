-- Whose definitions are. Version 14.
--
-- Up to here all organizations shared them, whatever stood there: 0 is that. An index that begins with the name
-- finds who holds something, all organizations together: counts within one go through it.

UPDATE definition SET organization = 0;
