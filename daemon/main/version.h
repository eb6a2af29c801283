/* The version, for --version, status and logs. */
#ifndef ROLEBRIDGE_MAIN_VERSION_H
#define ROLEBRIDGE_MAIN_VERSION_H

#define ROLEBRIDGE_VERSION "0.1.0"

#endif
