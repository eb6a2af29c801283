/*
 * rolebridge-accounts: the privileged helper that makes, locks and removes Linux accounts for the daemon.
 * Options and start-up. Leaves with 0, 1 (refused or failed) or 2 (usage).
 *
 * What it needs, for the unit that starts it:
 *
 *   user           root (shadow-utils check for uid 0)
 *   capabilities   CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER, and CAP_KILL for end_sessions; no others, also
 *                  not SETPCAP when the bounding set holds just these. No new privileges is fine.
 *   writes         /etc (passwd, shadow, group, gshadow, subuid, subgid, their backups, lock files and
 *                  .pwd.lock: files are replaced by rename, so the folder itself), home_base (/home),
 *                  state_directory (/var/lib/rolebridge-accounts), archive_directory, /var/mail (mail
 *                  spools of new and removed accounts), /tmp (private)
 *   reads          /usr, /etc, and /proc with every process visible: end_sessions looks for processes of
 *                  the disabled, and nobody is removed of whom something runs. So neither
 *                  ProtectProc=invisible nor a pid namespace; ProcSubset=pid is fine.
 *   programs       /usr/sbin/{useradd,usermod,userdel,groupadd,groupdel}, /usr/bin/{tar,gzip,loginctl},
 *                  /bin/rm; nscd and sss_cache where they are installed (shadow-utils call them).
 *                  It is no place for MemoryDenyWriteExecute exceptions: nothing needs any.
 *   sockets        AF_UNIX only: its own, /dev/log and the journal, the name service, and the system bus for
 *                  loginctl. Not AF_NETLINK: without audit sockets shadow-utils go on silently.
 *   system calls   @system-service with @chown @setuid(no-ops of uid 0 in shadow-utils)
 *                  @file-system @process @signal pidfd_open pidfd_send_signal capset prctl
 *   namespaces     the host's users (no PrivateUsers: the core's uid and all owners would be nobody's) and
 *                  mounts with the real /etc and /home (no ProtectHome, no ProtectSystem=full or strict
 *                  without ReadWritePaths=/etc /home /var/mail)
 *   notification   Type=notify; READY=1 when it answers
 *   the socket     SocketUser= is the core's user, mode 0600; one listening unix stream socket
 *   ending         SIGTERM ends it between two commands. KillMode=mixed: a command that runs is finished.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libgen.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include <rolebridge/accounts/protocol.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/local_socket.h>
#include <rolebridge/base/log.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>
#include <rolebridge/base/version.h>

#include "command.h"
#include "privilege.h"
#include "serve.h"
#include "settings.h"

#define SETTINGS_ARENA_MAX (8u << 20)
#define PRINT_MAX (64 * 1024)
#define BACKLOG 8
/* As long as a command of the helper before may still run. */
#define LOCK_PATIENCE_US 180000000
#define LOCK_PAUSE_US 50000

enum { OPTION_CHECK = 1, OPTION_PRINT, OPTION_HELP, OPTION_VERSION };

static const struct option long_options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "socket", required_argument, NULL, 's' },
	{ "check", no_argument, NULL, OPTION_CHECK },
	{ "print-config", no_argument, NULL, OPTION_PRINT },
	{ "help", no_argument, NULL, OPTION_HELP },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ NULL, 0, NULL, 0 },
};

static const char usage_text[] =
	"usage: rolebridge-accounts [--config FILE] [--socket PATH] [--check] [--print-config]\n"
	"\n"
	"  -c, --config FILE  configuration (default " SETTINGS_FILE ")\n"
	"  -s, --socket PATH  listen there, when no socket was handed over by systemd\n"
	"                     (default " ACCOUNTS_SOCKET ")\n"
	"      --check        say what is wrong with the configuration, and leave\n"
	"      --print-config say all keys with their defaults, and leave\n"
	"      --version      say the version and leave\n"
	"      --help         this text\n"
	"\n"
	"SIGTERM ends it after the command that runs.\n";

struct options {
	const char *config, *socket;
	bool check;
};

static int usage(FILE *out, int status)
{
	fputs(usage_text, out);
	return status;
}

static int print_config(void)
{
	AUTO(strbuf) struct strbuf text = STRBUF(PRINT_MAX);

	settings_print(&text);
	fputs(strbuf_text(&text), stdout);
	return strbuf_failed(&text) || fflush(stdout) ? 1 : 0;
}

/* --- what must be there --- */

static int find_core(const char *user, uid_t *ret_uid, struct err *err)
{
	const struct passwd *entry;
	char *end;
	unsigned long number;

	errno = 0;
	number = strtoul(user, &end, 10);
	if (*user >= '0' && *user <= '9' && !*end && !errno && number < UINT32_MAX) {
		*ret_uid = (uid_t)number;
		return 0;
	}
	entry = getpwnam(user);
	if (!entry)
		return err_set(err, ERR_INVALID, "core_user: there is no user '%s'", user);
	*ret_uid = entry->pw_uid;
	return 0;
}

/* Whoever may write into these folders may do what the helper does. */
static int check_folder(const char *what, const char *path, bool make, struct err *err)
{
	struct stat status;

	if (make && mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_set_errno(err, ERR_IO, errno, "cannot make %s '%s'", what, path);
	if (stat(path, &status) < 0)
		return err_set_errno(err, ERR_IO, errno, "cannot examine %s '%s'", what, path);
	if (!S_ISDIR(status.st_mode) || status.st_uid != 0 ||
	    (status.st_mode & (S_IWGRP | S_IWOTH)))
		return err_set(err, ERR_DENIED,
			       "%s '%s' is no folder of root's that nobody else can write to", what,
			       path);
	return 0;
}

static int check_folders(const struct settings *settings, struct err *err)
{
	if (check_folder("home_base", settings->home_base, false, err) < 0 ||
	    check_folder("state_directory", settings->state_directory, true, err) < 0)
		return -1;
	if (settings->home_on_delete != HOME_ARCHIVE)
		return 0;
	return check_folder("archive_directory", settings->archive_directory, true, err);
}

/*
 * One helper at a time. Commands inherit the lock: when a helper was killed, the next one waits until what
 * it had begun has ended, and finds it done.
 */
static int take_lock(const char *directory, int *ret_fd, struct err *err)
{
	AUTO(strbuf) struct strbuf path = STRBUF(ACCOUNTS_PATH_MAX + 16);
	int64_t deadline_us = clock_monotonic_us() + LOCK_PATIENCE_US;

	strbuf_printf(&path, "%s/lock", directory);
	if (strbuf_failed(&path))
		return err_set(err, ERR_MEMORY, "no room for the path of the lock");
	while (file_lock(strbuf_text(&path), ret_fd, err) < 0) {
		if (err->code != ERR_CONFLICT || clock_monotonic_us() > deadline_us)
			return -1;
		usleep(LOCK_PAUSE_US);
	}
	return 0;
}

/* --- the socket --- */

static int take_socket(int *ret_fd, struct err *err)
{
	int count = sd_listen_fds(1);

	if (count == 0)
		return 0;
	if (count != 1 || sd_is_socket_unix(SD_LISTEN_FDS_START, SOCK_STREAM, 1, NULL, 0) <= 0)
		return err_set(err, ERR_INVALID,
			       "not one listening unix stream socket was handed over");
	*ret_fd = SD_LISTEN_FDS_START;
	return 1;
}

/* What nobody listens at any more is removed; the lock says that it is no helper's. */
static int make_socket(const char *path, uid_t core, int *ret_fd, struct err *err)
{
	struct sockaddr_un address;
	AUTO(fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char folder[sizeof(address.sun_path)];
	struct stat status;

	if (local_socket_address(path, &address, err) < 0)
		return -1;
	snprintf(folder, sizeof(folder), "%s", path);
	/* Who could put a link in the socket's place would be given what it points to. */
	if (check_folder("the folder of the socket", dirname(folder), false, err) < 0)
		return -1;
	if (lstat(path, &status) == 0 && S_ISSOCK(status.st_mode))
		unlink(path);

	mode_t before = umask(0177);
	int bound = fd < 0 ? -1 : bind(fd, (const struct sockaddr *)&address, sizeof(address));

	umask(before);
	if (bound < 0 || chown(path, core, (gid_t)-1) < 0 || listen(fd, BACKLOG) < 0)
		return err_set_errno(err, ERR_IO, errno, "cannot listen at '%s'", path);
	*ret_fd = fd;
	fd = -1;
	return 0;
}

/* --- start --- */

static int run_service(const struct options *options, const struct settings *settings, uid_t core,
		       struct ledger *ledger, struct err *err)
{
	struct helper helper = { .settings = settings, .ledger = ledger };
	struct service service = { .helper = &helper, .listener = -1, .core = core };
	AUTO(fd) int listener = -1;
	size_t failed = 0;
	int handed = take_socket(&listener, err);

	if (handed < 0 || (!handed && make_socket(options->socket, core, &listener, err) < 0))
		return -1;
	if (fcntl(listener, F_SETFL, O_NONBLOCK) < 0)
		return err_set_errno(err, ERR_IO, errno, "cannot prepare the socket");
	if (accounts_recover(&helper, &failed, err) < 0)
		return -1;
	if (failed)
		log_warning("accounts.recovery_incomplete", F_INT("accounts", failed));
	service.listener = listener;
	service.idle_exit_s = handed ? settings->idle_exit_s : 0;
	log_info("accounts.started", F_INT("owned", ledger_owned(ledger)), F_INT("core_uid", core));
	sd_notify(0, "READY=1");

	int result = serve(&service, err);

	sd_notify(0, "STOPPING=1");
	endings_finish(&helper.endings);
	if (!handed)
		unlink(options->socket);
	return result;
}

static int start(const struct options *options, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(SETTINGS_ARENA_MAX);
	AUTO(ledger) struct ledger *ledger = NULL;
	AUTO(fd) int lock = -1;
	struct settings settings;
	uid_t core = (uid_t)-1;

	if (!arena || settings_read(options->config, arena, &settings, err) < 0)
		return arena ? -1 : err_set(err, ERR_MEMORY, "out of memory");
	if (find_core(settings.core_user, &core, err) < 0)
		return -1;
	if (options->check)
		return 0;
	if (geteuid() != 0)
		return err_set(err, ERR_DENIED, "the helper has to be started as root");
	if (check_folders(&settings, err) < 0 || privilege_reduce(settings.end_sessions, err) < 0 ||
	    take_lock(settings.state_directory, &lock, err) < 0)
		return -1;
	command_set_lock(lock);
	ledger = ledger_open(settings.state_directory, err);
	if (!ledger)
		return -1;
	return run_service(options, &settings, core, ledger, err);
}

static void block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
}

int main(int argc, char **argv)
{
	struct options options = { .config = SETTINGS_FILE, .socket = ACCOUNTS_SOCKET };
	struct err err = { 0 };
	int option;

	while ((option = getopt_long(argc, argv, "c:s:", long_options, NULL)) != -1) {
		switch (option) {
		case 'c': options.config = optarg; break;
		case 's': options.socket = optarg; break;
		case OPTION_CHECK: options.check = true; break;
		case OPTION_PRINT: return print_config();
		case OPTION_HELP: return usage(stdout, 0);
		case OPTION_VERSION:
			printf("rolebridge-accounts %s\n", ROLEBRIDGE_VERSION);
			return 0;
		default: return usage(stderr, 2);
		}
	}
	if (optind < argc)
		return usage(stderr, 2);
	/* Modes are said where files are made; useradd's own hold for homes. */
	umask(022);
	block_signals();
	log_init("rolebridge-accounts");
	if (start(&options, &err) == 0)
		return 0;
	if (options.check)
		fprintf(stderr, "%s\n", err.text);
	else
		log_error("accounts.failed", F_ERR(&err));
	return 1;
}
