#include "[2J]0;owned.h"
