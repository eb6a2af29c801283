/*
 * The running daemon: configuration in force, control socket, schedule.
 *
 * Enter: the path of the configuration. Leave: an exit status, when SIGTERM or
 * SIGINT asked to drain, or when starting failed.
 */
#ifndef ROLEBRIDGE_MAIN_SERVICE_H
#define ROLEBRIDGE_MAIN_SERVICE_H

int service_run(const char *config_path);

#endif
