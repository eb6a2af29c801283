/* The version, for --version of both commands, status and logs. */
#ifndef ROLEBRIDGE_BASE_VERSION_H
#define ROLEBRIDGE_BASE_VERSION_H

#define ROLEBRIDGE_VERSION "0.1.0"

#endif
