// What mpconfigport.h of ports/qemu says, and what else the firmware finds on a board.
#include <mpconfigport.h>

#undef MICROPY_PY_TIME
#define MICROPY_PY_TIME (1)
#define MICROPY_PY_TIME_GMTIME_LOCALTIME_MKTIME (1)
#define MICROPY_PY_TIME_TIME_TIME_NS (1)
#define MICROPY_PY_TIME_INCLUDEFILE "redpoll_time.c"
#define MICROPY_EPOCH_IS_1970 (1)
#undef MICROPY_PY_SELECT
#define MICROPY_PY_SELECT (1)
#define MICROPY_PY_OS_URANDOM (1)
#define MICROPY_PY_OS_INCLUDEFILE "redpoll_os.c"
