// SPDX-License-Identifier: MIT
// What the snippets in the pages take for granted.
#include <slm/slm.hpp>

#include <cstdio>
#include <iostream>
#include <memory_resource>

extern const char *path;
extern slm::model model;
extern slm::session session;
extern slm::sequence sequence;
