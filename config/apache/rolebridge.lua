-- rolebridge behind Apache 2.4: asks the daemon about each request of a protected place.
--
-- Enters: a request as Apache has read it. Leaves: OK with the Remote-* headers of the person and without the cookies
-- that open the application; a redirect to sign in; 403; 503 for whatever goes wrong, the script's own errors too.
-- One connection per thread is kept. Settings: the socket, here and in rolebridge-server.conf.

local SOCKET = "/run/rolebridge/web.sock"
local TIMEOUT_S = 10
local LINE_MAX, LINES_MAX, BODY_MAX = 65536, 100, 65536

local unix = require "socket.unix"

-- Requests that go to the daemon itself: known by where they are sent, not by what they are called.
local OWN = "proxy:http://rolebridge.localhost/.rolebridge/"

local NAMES = { "Id", "User", "Email", "Name", "Profile", "Roles", "Personas", "Groups" }

local UNAVAILABLE, FORBIDDEN, FOUND = 503, 403, 302

-- ------------------------------------------------------------- the request

local function is_default(scheme, port)
	return (scheme == "http" and port == 80) or (scheme == "https" and port == 443)
end

-- What the daemon is told of the request; nil: not to be told.
local function facts(r)
	local scheme = r.is_https and "https" or "http"
	local host, uri = r.hostname, r.unparsed_uri

	if not host or host == "" or not uri or uri:sub(1, 1) ~= "/" then
		return nil
	end
	if host:find(":", 1, true) and host:sub(1, 1) ~= "[" then
		host = "[" .. host .. "]"
	end
	if not is_default(scheme, r.port) then
		host = host .. ":" .. r.port
	end
	return {
		["X-Forwarded-Proto"] = scheme,
		["X-Forwarded-Host"] = host,
		["X-Forwarded-Uri"] = uri,
		["X-Forwarded-Method"] = r.method,
		["X-Forwarded-For"] = r.useragent_ip,
	}
end

-- What the browser sent under these names, in every spelling an application server may take for the same.
local function drop_forged(r)
	for name in pairs(r:headers_in_table()) do
		if name:lower():gsub("[^a-z0-9]", "_"):find("^remote_") then
			r.headers_in[name] = nil
		end
	end
end

-- The application must not see the cookies that open it. What cannot be taken apart goes as a whole.
local function drop_cookies(r)
	local cookies, kept = r.headers_in["Cookie"], {}

	if not cookies then
		return
	end
	for pair in cookies:gmatch("[^;]+") do
		pair = pair:match("^%s*(.-)%s*$")
		if pair ~= "" and not pair:find("^rolebridge") and not pair:find("^__Host%-rolebridge") then
			kept[#kept + 1] = pair
		end
	end
	cookies = table.concat(kept, "; ")
	if cookies == "" or cookies:find("[%s,]rolebridge") or cookies:find("[%s,]__Host%-rolebridge") then
		r.headers_in["Cookie"] = nil
	else
		r.headers_in["Cookie"] = cookies
	end
end

-- -------------------------------------------------------------- the daemon

local kept

local function connect()
	local connection = assert(unix.stream())

	connection:settimeout(TIMEOUT_S)
	assert(connection:connect(SOCKET))
	return connection
end

local function read_line(connection)
	local line, problem = connection:receive("*l")

	if not line or #line > LINE_MAX then
		return nil, problem or "line too long"
	end
	return line
end

-- status, headers (names in lower case), whether the connection can be used again
local function read_answer(connection)
	local line, problem = read_line(connection)
	local status = line and line:match("^HTTP/1%.1 (%d%d%d)")
	local headers = {}

	if not status then
		return nil, problem or "not an answer"
	end
	for count = 1, LINES_MAX + 1 do
		line, problem = read_line(connection)
		if not line or count > LINES_MAX then
			return nil, problem or "too many headers"
		end
		if line == "" then
			break
		end
		local name, value = line:match("^([%w%-]+):[ \t]*(.-)[ \t]*$")
		if not name or headers[name:lower()] then
			return nil, "headers not understood"
		end
		headers[name:lower()] = value
	end
	local size = tonumber(headers["content-length"])
	if not size or size > BODY_MAX or headers["transfer-encoding"] then
		return tonumber(status), headers, false
	end
	if size > 0 and not connection:receive(size) then
		return nil, "cut off"
	end
	return tonumber(status), headers, (headers["connection"] or ""):lower() ~= "close"
end

local function exchange(text)
	for attempt = 1, 2 do
		local old = kept
		local connection = old or connect()
		local status, headers, again

		kept = nil
		if connection:send(text) then
			status, headers, again = read_answer(connection)
		end
		if status then
			if again then
				kept = connection
			else
				connection:close()
			end
			return status, headers
		end
		connection:close()
		-- One that was kept may have been closed meanwhile.
		if not old or attempt == 2 then
			error("the daemon does not answer: " .. tostring(headers))
		end
	end
end

local function ask(r, told)
	local lines = { "GET /auth HTTP/1.1", "Host: rolebridge.localhost" }

	told["Cookie"] = r.headers_in["Cookie"]
	for name, value in pairs(told) do
		if value:find("[%z\1-\31\127]") then
			return FORBIDDEN, {}
		end
		lines[#lines + 1] = name .. ": " .. value
	end
	return exchange(table.concat(lines, "\r\n") .. "\r\n\r\n")
end

-- --------------------------------------------------------------- the hooks

local function is_own(r)
	return r.filename ~= nil and r.filename:sub(1, #OWN) == OWN
end

-- What Connection: names is dropped on the way, and that must not be the headers set here.
local function clean_connection(r)
	local connection = r.headers_in["Connection"]

	if connection and connection:lower():find("upgrade", 1, true) then
		r.headers_in["Connection"] = "Upgrade"
	else
		r.headers_in["Connection"] = nil
	end
end

local function protect(r)
	if is_own(r) then
		return apache2.DECLINED
	end

	local told = facts(r)
	if not told then
		return FORBIDDEN
	end
	local status, headers = ask(r, told)
	if status == 401 and headers["location"] then
		r.err_headers_out["Location"] = headers["location"]
		r.err_headers_out["Cache-Control"] = "no-store"
		return FOUND
	end
	if status ~= 200 then
		return (status == 401 or status == 403) and FORBIDDEN or UNAVAILABLE
	end
	drop_forged(r)
	drop_cookies(r)
	clean_connection(r)
	for _, name in ipairs(NAMES) do
		local value = headers["remote-" .. name:lower()]

		if value and value ~= "" then
			r.headers_in["Remote-" .. name] = value
		end
	end
	return apache2.OK
end

local function forward(r)
	local told = facts(r)

	if not told or not is_own(r) then
		return FORBIDDEN
	end
	for name, value in pairs(told) do
		r.headers_in[name] = value
	end
	return apache2.OK
end

local function guarded(r, hook)
	local fine, result = pcall(hook, r)

	if fine then
		return result
	end
	kept = nil
	r:err("rolebridge: " .. tostring(result))
	return UNAVAILABLE
end

function rolebridge_protect(r)
	return guarded(r, protect)
end

function rolebridge_forward(r)
	return guarded(r, forward)
end
