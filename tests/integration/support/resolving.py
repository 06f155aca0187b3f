"""What names stand for, as the test says: a small library in front of the daemon's getaddrinfo().

A file has a line for each name: the name and its addresses in order, none for a name that cannot be resolved now, or
`silence` for a name server that never answers. Other names are resolved as ever.
"""

import shutil
import subprocess

import pytest

from .settings import SANITIZED
from .waiting import wait_until

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int (*Resolve)(const char*, const char*, const struct addrinfo*, struct addrinfo**);

static void note(const char* host) {
    FILE* asked = fopen(getenv("TEST_NAMES_ASKED"), "a");
    fprintf(asked, "%s\n", host);
    fclose(asked);
}

static char* line_of(const char* host, char* line, int size) {
    FILE* names = fopen(getenv("TEST_NAMES"), "r");
    const size_t length = strlen(host);
    char* found = NULL;
    while (!found && fgets(line, size, names))
        if (strncmp(line, host, length) == 0 && strchr(" \n", line[length])) found = line + length;
    fclose(names);
    return found;
}

int getaddrinfo(const char* host, const char* port, const struct addrinfo* hints, struct addrinfo** found) {
    Resolve real = (Resolve)dlsym(RTLD_NEXT, "getaddrinfo");
    char line[1024], *rest, *word = host ? line_of(host, line, sizeof line) : NULL;
    if (!word) return real(host, port, hints, found);
    note(host);
    int code = EAI_AGAIN;
    struct addrinfo literal = *hints;
    literal.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    for (word = strtok_r(word, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest)) {
        if (strcmp(word, "silence") == 0)
            for (;;) pause();
        code = real(word, port, &literal, found);
        if (code != 0) return code;
        found = &(*found)->ai_next;
    }
    return code;
}
"""


class Names:
    def __init__(self, folder):
        if SANITIZED or not shutil.which("cc"):
            pytest.skip("needs a compiler, and a daemon that lets a library come before its own")
        self.file, self.asked_file = folder / "names", folder / "asked"
        library = folder / "names.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, "-x", "c", "-", "-ldl"], input=SOURCE.encode(),
                       check=True)
        self.asked_file.touch()
        self.names = {}
        self.set()
        self.env = {"LD_PRELOAD": str(library), "TEST_NAMES": str(self.file), "TEST_NAMES_ASKED": str(self.asked_file)}

    def set(self, **names):
        """`api="192.0.2.1 192.0.2.2"` for api.test."""
        self.names |= names
        fresh = self.file.with_suffix(".new")
        fresh.write_text("".join(f"{name}.test {value}".rstrip() + "\n" for name, value in self.names.items()))
        fresh.rename(self.file)

    def asked(self, name):
        return self.asked_file.read_text().splitlines().count(f"{name}.test")

    def wait_asked(self, name, more=1):
        """So many lookups that begin after now; the answers of all but the last are in force then."""
        enough = self.asked(name) + more
        wait_until(lambda: self.asked(name) >= enough, 5 + more, what=f"{enough} lookups of {name}")
