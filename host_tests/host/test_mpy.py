"""What the firmware is before mpy-cross compiles it for a board."""

import pytest

from tools.mpy import CompileError, compile_module, firmware_modules, without_const


def test_a_module_loses_the_import_that_only_the_compiler_needs_and_keeps_its_lines(tmp_path):
    source = b"import gc\n\nfrom micropython import const\n\n_A = const(3)\nB = const(4)\n\n\ndef f():\n    return _A + B + gc.mem_free()\n"
    less = without_const(source)
    assert less == source.replace(b"from micropython import const", b"")
    sizes = []
    for number, text in enumerate((source, less)):
        module = tmp_path / f"{number}.py"
        module.write_bytes(text)
        sizes.append(compile_module(module, tmp_path / "module.mpy", "module"))
    assert sizes[1] < sizes[0]


@pytest.mark.parametrize("use", [b"f(const(1))", b"def f():\n    return const(1)", b"_A, _B = const(1), const(2)"])
def test_a_module_that_calls_const_when_it_runs_keeps_its_import(use):
    source = b"from micropython import const\n\n_C = const(3)\n" + use + b"\n"
    assert without_const(source) == source


def test_no_module_of_the_firmware_calls_const_when_it_runs():
    for name, source in firmware_modules():
        assert b"import const" not in without_const(source.read_bytes()), f"{name}: write _NAME = const(...), no other use"


def test_what_does_not_compile_is_told_with_its_line(tmp_path):
    module = tmp_path / "bad.py"
    module.write_text("a = 1\ndef f(:\n")
    with pytest.raises(CompileError, match=r"line 2"):
        compile_module(module, tmp_path / "bad.mpy", "bad")
