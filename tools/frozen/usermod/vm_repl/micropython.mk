SRC_USERMOD_C += $(USERMOD_DIR)/vm_repl.c
