// The main() of all unit tests. It is compiled without the precompiled header, which has no main() in it.
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
