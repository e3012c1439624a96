// Included by extmod/modos.c: random bytes for tests, the same after each start, and no secret.
#include "py/mphal.h"
#include "py/runtime.h"

static mp_obj_t mp_os_urandom(mp_obj_t count) {
    static uint32_t state = 2463534242u;
    vstr_t bytes;
    vstr_init_len(&bytes, mp_obj_get_int(count));
    for (size_t i = 0; i < bytes.len; i++) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        bytes.buf[i] = state >> 11;
    }
    return mp_obj_new_bytes_from_vstr(&bytes);
}
static MP_DEFINE_CONST_FUN_OBJ_1(mp_os_urandom_obj, mp_os_urandom);
