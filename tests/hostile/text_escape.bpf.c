#error ]0;owned[2J[31mred
