/*
 * The running daemon, as its parts know it: service.c begins and ends it, and the others do one job each.
 *
 *   startup.c   what is read before anything runs        control.c   its socket, and what the API asks of main
 *   reload.c    another configuration in force           sync.c      sources, read because somebody asked
 */
#ifndef MAIN_SERVICE_PARTS_H
#define MAIN_SERVICE_PARTS_H

#include <pthread.h>
#include <stdatomic.h>

#include <rolebridge/api/api.h>

#include "configuration.h"

struct service {
	const char *config_path;
	int64_t started_s;
	struct changer *changer;
	struct runs *runs;
	struct api *api;
	struct http_router *router;
	struct http_server *control;
	struct schedule *schedule;
	struct follow *follow;
	struct website *website;
	struct decisions *decisions;
	struct mailer *mailer;
	struct targets *targets;
	struct retainer *retainer;
	struct authorized_keys *authorized_keys;
	struct located control_path; /* of the listening socket: kept across reloads */
	int control_fd;
	bool control_inherited;	     /* systemd's: its file stays */
	int lock_fd;		     /* beside the store: one daemon at a time */
	pthread_mutex_t reload_lock; /* one reload at a time */
	atomic_bool ready;	     /* everything is up */
	atomic_bool reload_asked;    /* by a signal, and no reload has begun to read since */
	bool definitions_incomplete; /* by reload_lock */
};

/* --- startup.c --- */

/*
 * Takes the store's lock, brings the store to this version, and reads the files with what the store defines. The
 * descriptor of the lock is the caller's, also of a failure. NULL: refused or failed.
 */
struct configuration *startup_load(const char *path, int *ret_lock_fd, struct err *err);

/* --- reload.c; ports of the API --- */

int service_reload(void *context, struct run *run, const struct actor *actor, struct err *err);
int service_define(void *context, const struct define_request *request, const struct actor *actor,
		   struct define_result *ret_result, struct err *err);
int service_check(void *context, const struct document_file *files, size_t count,
		  struct strbuf *findings, struct err *err);
/* What a configuration would be: of these files (NULL: those on disk), in force nowhere. What is wrong is the run's. */
int service_load_files(struct service *service, const struct document_file *files, size_t count,
		       struct run *run, struct configuration **ret_config, struct err *err);
/* A signal asked for it: in the background. */
void service_start_reload(struct service *service);
/* With the reload's lock, or before there is a second thread: do definitions of the store name what nothing declares? */
void service_alarm_definitions(struct service *service, bool broken, const char *cause);

/* --- sync.c; a port of the API, and what the schedule does --- */

int service_sync(void *context, struct run *run, const struct sync_request *request,
		 const struct actor *actor, struct err *err);

/* --- control.c --- */

int control_open(struct service *service, const struct settings *settings, struct err *err);
void control_close(struct service *service, int64_t drain_ms);

#endif
