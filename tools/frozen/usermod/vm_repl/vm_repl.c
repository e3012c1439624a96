// vm_repl.run(): the REPL of boards, with its raw mode, which the unix port of this version of MicroPython has not. It is __main__'s.
#include "py/runtime.h"
#include "shared/runtime/pyexec.h"

static mp_obj_t vm_repl_run(void) {
    mp_obj_dict_t *globals = mp_globals_get(), *locals = mp_locals_get();
    mp_globals_set(&MP_STATE_VM(dict_main));
    mp_locals_set(&MP_STATE_VM(dict_main));
    int ended;
    do {
        ended = pyexec_mode_kind == PYEXEC_MODE_RAW_REPL ? pyexec_raw_repl() : pyexec_friendly_repl();
    } while (!ended);
    mp_globals_set(globals);
    mp_locals_set(locals);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_0(vm_repl_run_obj, vm_repl_run);

static const mp_rom_map_elem_t vm_repl_globals_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_vm_repl) },
    { MP_ROM_QSTR(MP_QSTR_run), MP_ROM_PTR(&vm_repl_run_obj) },
};
static MP_DEFINE_CONST_DICT(vm_repl_globals, vm_repl_globals_table);

const mp_obj_module_t vm_repl_module = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&vm_repl_globals,
};
MP_REGISTER_MODULE(MP_QSTR_vm_repl, vm_repl_module);
