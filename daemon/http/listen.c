/*
 * The sockets we listen on, and who is at the other end. A unix socket's file
 * left by a process that died is replaced; anything else at that path is
 * somebody's and stays.
 */
#include <rolebridge/http/server.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/local_socket.h>
#include <rolebridge/base/util.h>

#include "internal.h"

#define BACKLOG 4096 /* the kernel cuts it to its own limit */
#define NAME_KEPT_US 1000000
#define NAME_BUFFER ((size_t)64 * 1024) /* a group's entry holds all its members */

static int socket_create(int *ret_fd, struct err *err)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_set_errno(err, ERR_IO, errno, "cannot create a socket");
	*ret_fd = fd;
	return 0;
}

/* Remove what a dead process left; leave what lives. */
static int stale_remove(const struct sockaddr_un *address, struct err *err)
{
	const char *path = address->sun_path;
	AUTO(fd) int probe = -1;
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : err_set_errno(err, ERR_IO, errno, "'%s'", path);
	if (!S_ISSOCK(st.st_mode))
		return err_set(err, ERR_CONFLICT, "'%s' is there and is no socket", path);
	if (socket_create(&probe, err) < 0)
		return -1;
	if (connect(probe, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
	    errno == EAGAIN)
		return err_set(err, ERR_CONFLICT, "another process answers at '%s'", path);
	if (errno != ECONNREFUSED && errno != ENOENT)
		return err_set_errno(err, ERR_IO, errno, "cannot try socket '%s'", path);
	if (unlink(path) < 0 && errno != ENOENT)
		return err_set_errno(err, ERR_IO, errno, "cannot remove old socket '%s'", path);
	return 0;
}

/*
 * One at a time may judge and replace the file, else two that start together both
 * take the other's fresh socket for a dead one. The lock ends with the descriptor.
 */
static int folder_lock(const char *path, int *ret_fd, struct err *err)
{
	char *copy = strdup(path);

	if (!copy)
		return err_set(err, ERR_MEMORY, "out of memory");

	const char *folder = dirname(copy);
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int result = 0;

	if (fd < 0)
		result = err_set_errno(err, ERR_IO, errno, "cannot open folder '%s'", folder);
	for (int tries = 0; fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0; tries++) {
		if (tries == 50 || (errno != EWOULDBLOCK && errno != EINTR)) {
			result = err_set_errno(err, ERR_UNAVAILABLE, errno,
					       "cannot lock folder '%s'", folder);
			close(fd);
			fd = -1;
			break;
		}
		usleep(20 * 1000);
	}
	free(copy);
	if (result == 0)
		*ret_fd = fd;
	return result;
}

static int group_find(const char *name, gid_t *ret_gid)
{
	char buffer[NAME_BUFFER];
	struct group group, *found = NULL;

	if (getgrnam_r(name, &group, buffer, sizeof(buffer), &found) != 0 || !found)
		return -1;
	*ret_gid = group.gr_gid;
	return 0;
}

/* The file is made with 0600, so that nobody connects before the group is right. */
static int socket_bind(int fd, const struct sockaddr_un *address, const char *group,
		       struct err *err)
{
	const char *path = address->sun_path;
	mode_t old = umask(0177);
	int failed = bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? errno : 0;
	gid_t gid;

	umask(old);
	if (failed)
		return err_set_errno(err, ERR_IO, failed, "cannot create socket '%s'", path);
	if (!group || group_find(group, &gid) < 0)
		return 0;
	/* Not being allowed to give it away is no failure: then it stays for the owner alone. */
	if (chown(path, (uid_t)-1, gid) < 0)
		return errno == EPERM
			       ? 0
			       : err_set_errno(err, ERR_IO, errno, "cannot chown '%s'", path);
	if (chmod(path, 0660) < 0)
		return err_set_errno(err, ERR_IO, errno, "cannot chmod '%s'", path);
	return 0;
}

int http_listen_unix(const char *path, const char *group, int *ret_fd, struct err *err)
{
	AUTO(fd) int lock = -1;
	AUTO(fd) int fd = -1;
	struct sockaddr_un address;

	if (local_socket_address(path, &address, err) < 0 || folder_lock(path, &lock, err) < 0 ||
	    stale_remove(&address, err) < 0 || socket_create(&fd, err) < 0 ||
	    socket_bind(fd, &address, group, err) < 0)
		return -1;
	if (listen(fd, BACKLOG) < 0) {
		int failed = errno;

		unlink(path);
		return err_set_errno(err, ERR_IO, failed, "cannot listen on '%s'", path);
	}
	*ret_fd = fd;
	fd = -1;
	return 0;
}

bool http_unix_is_open_to(const char *path, const char *group)
{
	struct stat status;
	gid_t gid;

	return stat(path, &status) == 0 && (status.st_mode & S_IWGRP) &&
	       group_find(group, &gid) == 0 && status.st_gid == gid;
}

/* -------------------------------------------------------- TCP, inherited -- */

static socklen_t socket_address(const struct address *address, uint16_t port,
				struct sockaddr_storage *ret_socket)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	memset(ret_socket, 0, sizeof(*ret_socket));
	if (!address->v6) {
		memcpy(&v4.sin_addr, address->byte, 4);
		memcpy(ret_socket, &v4, sizeof(v4));
		return sizeof(v4);
	}
	memcpy(&v6.sin6_addr, address->byte, 16);
	memcpy(ret_socket, &v6, sizeof(v6));
	return sizeof(v6);
}

int http_listen_tcp(const char *text, int *ret_fd, struct err *err)
{
	struct sockaddr_storage socket_name;
	struct address address;
	uint16_t port;
	const int on = 1, off = 0;

	if (address_parse_port(text, &address, &port, err) < 0)
		return -1;

	socklen_t size = socket_address(&address, port, &socket_name);
	AUTO(fd)
	int fd = socket(socket_name.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_set_errno(err, ERR_IO, errno, "cannot create a socket");
	/* Connections of the process before us linger; "[::]" means IPv4, too, whatever the sysctl says. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    (address.v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0))
		return err_set_errno(err, ERR_IO, errno, "cannot prepare a socket for '%s'", text);
	if (bind(fd, (struct sockaddr *)&socket_name, size) < 0 || listen(fd, BACKLOG) < 0) {
		enum err_code code = errno == EADDRINUSE ? ERR_CONFLICT
				     : errno == EACCES	 ? ERR_DENIED
							 : ERR_IO;

		return err_set_errno(err, code, errno, "cannot listen on '%s'", text);
	}
	*ret_fd = fd;
	fd = -1;
	return 0;
}

unsigned http_listen_port(int fd)
{
	struct sockaddr_storage name;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	socklen_t size = sizeof(name);

	if (getsockname(fd, (struct sockaddr *)&name, &size) < 0)
		return 0;
	memcpy(&v4, &name, sizeof(v4));
	memcpy(&v6, &name, sizeof(v6));
	return name.ss_family == AF_INET    ? ntohs(v4.sin_port)
	       : name.ss_family == AF_INET6 ? ntohs(v6.sin6_port)
					    : 0;
}

static int socket_option(int fd, int option)
{
	int value = -1;
	socklen_t size = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &size) < 0 ? -1 : value;
}

int http_listen_prepare(int fd, bool *ret_unix, struct err *err)
{
	int flags = fcntl(fd, F_GETFL), domain = socket_option(fd, SO_DOMAIN);

	if (socket_option(fd, SO_TYPE) != SOCK_STREAM || socket_option(fd, SO_ACCEPTCONN) != 1)
		return err_set(err, ERR_INVALID, "descriptor %d is no listening stream socket", fd);
	if (domain != AF_UNIX && domain != AF_INET && domain != AF_INET6)
		return err_set(err, ERR_INVALID, "descriptor %d listens on no address we know", fd);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return err_set_errno(err, ERR_IO, errno, "cannot prepare descriptor %d", fd);
	*ret_unix = domain == AF_UNIX;
	return 0;
}

/* ----------------------------------------------------------------- peers -- */

/* Whoever answers there, is it this process? The kernel notes the pid at listen(). */
static bool answers_ourselves(const struct sockaddr_un *address)
{
	AUTO(fd) int probe = -1;
	struct ucred credentials;
	socklen_t size = sizeof(credentials);
	struct err err;

	return socket_create(&probe, &err) == 0 &&
	       connect(probe, (const struct sockaddr *)address, sizeof(*address)) == 0 &&
	       getsockopt(probe, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0 &&
	       credentials.pid == getpid();
}

void http_unlisten_unix(const char *path, int fd)
{
	AUTO(fd) int lock = -1;
	struct sockaddr_un address, bound;
	socklen_t size = sizeof(bound);
	struct err err;

	if (local_socket_address(path, &address, &err) < 0 || folder_lock(path, &lock, &err) < 0 ||
	    getsockname(fd, (struct sockaddr *)&bound, &size) < 0 ||
	    memcmp(bound.sun_path, address.sun_path, strlen(path)) != 0)
		return;
	if (answers_ourselves(&address))
		unlink(path);
}

static int peer_groups(int fd, struct http_peer *peer, struct err *err)
{
	socklen_t size = 64 * sizeof(gid_t);
	gid_t *groups = NULL;

	/* ERANGE tells the size that is needed. */
	for (int tries = 0; tries < 4; tries++) {
		gid_t *larger = alloc_resize(groups, size ? size : 1);

		if (!larger)
			break;
		groups = larger;
		if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) == 0) {
			peer->groups = groups;
			peer->group_count = size / sizeof(gid_t);
			return 0;
		}
		if (errno != ERANGE)
			break;
	}
	free(groups);
	return err_set(err, ERR_IO, "cannot read the groups of the peer");
}

int http_peer_read(int fd, struct http_peer *ret_peer, struct err *err)
{
	struct http_peer peer = { 0 };
	struct ucred credentials;
	socklen_t size = sizeof(int);
	int domain;

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0)
		return err_set_errno(err, ERR_IO, errno, "cannot ask for the kind of socket");
	if (domain != AF_UNIX) {
		*ret_peer = peer;
		return 0;
	}
	size = sizeof(credentials);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0)
		return err_set_errno(err, ERR_IO, errno, "cannot ask who the peer is");
	if (peer_groups(fd, &peer, err) < 0)
		return -1;
	peer.known = true;
	peer.pid = credentials.pid;
	peer.uid = credentials.uid;
	peer.gid = credentials.gid;
	*ret_peer = peer;
	return 0;
}

/* The last one of this thread, for a moment: to ask for it means to read a file, with each request of a connection. */
static _Thread_local struct {
	uid_t uid;
	int64_t until_us; /* 0: none */
	char name[64];
} last_name;

const char *http_peer_name(const struct http_peer *peer, struct arena *arena)
{
	char buffer[NAME_BUFFER];
	struct passwd entry, *found = NULL;
	int64_t now_us = clock_monotonic_us();

	if (last_name.uid == peer->uid && now_us < last_name.until_us)
		return arena_strdup(arena, last_name.name);
	if (getpwuid_r(peer->uid, &entry, buffer, sizeof(buffer), &found) != 0 || !found)
		return arena_printf(arena, "%u", peer->uid);
	if (strlen(entry.pw_name) < sizeof(last_name.name)) {
		last_name.uid = peer->uid;
		last_name.until_us = now_us + NAME_KEPT_US;
		memcpy(last_name.name, entry.pw_name, strlen(entry.pw_name) + 1);
	}
	return arena_strdup(arena, entry.pw_name);
}

bool http_peer_in_group(const struct http_peer *peer, const char *name)
{
	gid_t gid;

	if (!peer->known || !name || !name[0] || group_find(name, &gid) < 0)
		return false;
	if (peer->gid == gid)
		return true;
	for (size_t i = 0; i < peer->group_count; i++) {
		if (peer->groups[i] == gid)
			return true;
	}
	return false;
}
