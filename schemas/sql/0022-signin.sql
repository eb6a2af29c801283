-- Sessions that are looked at again, and codes that are sent. Version 22.
--
--	session	device_by: of a session that a remembered browser proved the second factor of, the method that the browser
--		stands for; 0: none, or not known. counted: 1: it was full, was counted as a sign-in, and went back to an
--		earlier stage

ALTER TABLE session ADD COLUMN device_by INTEGER NOT NULL DEFAULT 0;
ALTER TABLE session ADD COLUMN counted INTEGER NOT NULL DEFAULT 0;
