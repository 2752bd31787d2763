#line 1 "/etc/passwd"
#error what does this line say
