/* Unix sockets. Enters: a path. Leaves: its address, or a connection. Fails: with the path in words. */
#include <rolebridge/base/local_socket.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <rolebridge/base/file.h>
#include <rolebridge/base/util.h>

int local_socket_address(const char *path, struct sockaddr_un *ret_address, struct err *err)
{
	size_t size = strlen(path);

	if (size == 0 || size >= sizeof(ret_address->sun_path))
		return err_set(err, ERR_TOO_LARGE, "socket path '%s' is not 1 to %zu bytes long",
			       path, sizeof(ret_address->sun_path) - 1);
	*ret_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(ret_address->sun_path, path, size + 1);
	return 0;
}

int local_socket_connect(const char *path, int send_timeout_ms, int *ret_fd, struct err *err)
{
	const struct timeval patience = { .tv_sec = send_timeout_ms / 1000,
					  .tv_usec = send_timeout_ms % 1000 * 1000 };
	struct sockaddr_un address;
	AUTO(fd) int fd = -1;

	if (local_socket_address(path, &address, err) < 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set_errno(err, ERR_IO, errno, "cannot create a socket");
	if ((send_timeout_ms &&
	     setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0) ||
	    connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return err_set_errno(err, ERR_UNAVAILABLE, errno, "cannot connect to '%s'", path);
	*ret_fd = fd;
	fd = -1;
	return 0;
}
