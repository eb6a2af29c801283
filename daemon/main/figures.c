/*
 * Figures of the process and of the daemon as a whole. Enters: /proc, the store's files, what was noted. Leaves: lines for
 * /metrics; what cannot be found out is left out.
 */
#include "figures.h"

#include <dirent.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/util.h>
#include <rolebridge/base/version.h>
#include <rolebridge/change/login.h>
#include <rolebridge/change/restore.h>
#include <rolebridge/http/server.h>

#define STAT_MAX ((size_t)4096)

static atomic_bool reload_failed;
static atomic_int_fast64_t reloaded_s;

void figures_note_reload(bool done)
{
	atomic_store(&reload_failed, !done);
	if (done)
		atomic_store(&reloaded_s, clock_now_s());
}

static void head(struct strbuf *out, const char *name, const char *type, const char *help)
{
	strbuf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void one(struct strbuf *out, const char *name, const char *type, const char *help,
		int64_t value)
{
	head(out, name, type, help);
	strbuf_printf(out, "%s %lld\n", name, (long long)value);
}

/* --- the process --- */

struct process {
	unsigned long long user_ticks, system_ticks, threads, size;
	long long pages;
};

static bool read_process(struct process *process)
{
	AUTO(strbuf) struct strbuf text = STRBUF(STAT_MAX);
	const char *at;

	if (file_read("/proc/self/stat", STAT_MAX, &text, NULL) < 0)
		return false;
	/* Behind the name, which may hold anything: the third field is next (proc(5)). */
	at = strrchr(strbuf_text(&text), ')');
	return at && sscanf(at + 1,
			    " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d "
			    "%*d %llu %*d %*u %llu %lld",
			    &process->user_ticks, &process->system_ticks, &process->threads,
			    &process->size, &process->pages) == 5;
}

static int64_t count_files(void)
{
	DIR *folder = opendir("/proc/self/fd");
	const struct dirent *entry;
	int64_t count = 0;

	if (!folder)
		return -1;
	while ((entry = readdir(folder)) != NULL)
		count += entry->d_name[0] != '.';
	closedir(folder);
	/* But for the one that looked. */
	return count - 1;
}

static void write_process(int64_t started_s, struct strbuf *out)
{
	struct process process = { 0 };
	struct rlimit limit = { 0 };
	int64_t files = count_files();
	long ticks = sysconf(_SC_CLK_TCK);

	if (read_process(&process) && ticks > 0) {
		head(out, "process_cpu_seconds_total", "counter",
		     "Processor time of the daemon, without its workers.");
		strbuf_printf(out, "process_cpu_seconds_total %.2f\n",
			      (double)(process.user_ticks + process.system_ticks) / (double)ticks);
		one(out, "process_resident_memory_bytes", "gauge",
		    "Memory of the daemon, without its workers.",
		    process.pages * sysconf(_SC_PAGESIZE));
		one(out, "process_virtual_memory_bytes", "gauge", "Its address space.",
		    (int64_t)process.size);
		one(out, "process_threads", "gauge", "Threads of the daemon.",
		    (int64_t)process.threads);
	}
	if (files >= 0)
		one(out, "process_open_fds", "gauge", "Open file descriptors.", files);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		one(out, "process_max_fds", "gauge", "So many may be open.",
		    (int64_t)limit.rlim_cur);
	one(out, "process_start_time_seconds", "gauge", "When the daemon was started.", started_s);
}

/* --- the daemon --- */

static void write_size(const char *path, const char *suffix, const char *part, struct strbuf *out)
{
	struct stat status;
	char *name;

	if (asprintf(&name, "%s%s", path, suffix) < 0)
		return;
	if (stat(name, &status) == 0)
		strbuf_printf(out, "rolebridge_store_bytes{part=\"%s\"} %lld\n", part,
			      (long long)status.st_size);
	free(name);
}

void figures_write(struct changer *changer, int64_t started_s, struct strbuf *out)
{
	unsigned holds = change_restore_holds(changer);

	head(out, "rolebridge_build_info", "gauge", "The version that runs; always 1.");
	strbuf_printf(out, "rolebridge_build_info{version=\"%s\"} 1\n", ROLEBRIDGE_VERSION);
	write_process(started_s, out);
	one(out, "rolebridge_config_last_reload_successful", "gauge",
	    "0 when the last reload was refused: the configuration before is in force.",
	    !atomic_load(&reload_failed));
	one(out, "rolebridge_config_last_reload_success_timestamp_seconds", "gauge",
	    "When the configuration in force was read.",
	    atomic_load(&reloaded_s) ? atomic_load(&reloaded_s) : started_s);
	head(out, "rolebridge_store_bytes", "gauge",
	     "Size of the store's files: the database, and what is to be copied into it.");
	write_size(changer_store_path(changer), "", "database", out);
	write_size(changer_store_path(changer), "-wal", "wal", out);
	head(out, "rolebridge_restore_held", "gauge",
	     "1 while it waits since the store was restored from a backup.");
	strbuf_printf(out,
		      "rolebridge_restore_held{what=\"sign_in\"} %d\n"
		      "rolebridge_restore_held{what=\"delivery\"} %d\n",
		      (holds & RESTORE_HOLDS_SIGN_IN) != 0, (holds & RESTORE_HOLDS_DELIVERY) != 0);
	one(out, "rolebridge_sign_ins_refused_total", "counter", "Sign-ins that were refused.",
	    (int64_t)change_sign_ins_refused(changer));
	http_metrics(out);
}
