#include "bomb_include_twice.bpf.c"
#include "bomb_include_twice.bpf.c"
