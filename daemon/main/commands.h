/*
 * What rolebridged does instead of serving. Each returns the exit status. (Apart from
 * main.c, because <getopt.h> and the option tables both say `struct option`.)
 */
#ifndef ROLEBRIDGE_MAIN_COMMANDS_H
#define ROLEBRIDGE_MAIN_COMMANDS_H

/* --check: findings to standard error, a summary line to standard output. */
int command_check(const char *config_path);
/* --migrate: what was done to standard output. Refused while a daemon has the store. */
int command_migrate(const char *config_path);
/* --print options|schema|manual; 2 when `what` is something else. */
int command_print(const char *what);
/* --worker NAME: a worker process started by the core, its socket on WORKER_SOCKET. */
int command_worker(const char *name);

#endif
