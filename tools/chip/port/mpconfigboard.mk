# MicroPython's board MPS2_AN385 (ports/qemu) with what boards have and that port leaves out: milliseconds, select, LittleFS, random bytes.
include boards/MPS2_AN385/mpconfigboard.mk

LDSCRIPT = $(BOARD_DIR)/chip.ld
MICROPY_VFS_LFS2 = 1
CFLAGS += -I$(BOARD_DIR) -DMP_CONFIGFILE='"redpoll_config.h"'
SRC_C += $(BOARD_DIR)/redpoll_chip.c shared/timeutils/timeutils.c
