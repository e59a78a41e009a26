// SPDX-License-Identifier: Apache-2.0
//
// The words of devmemctl's command line, as tables: objects, their verbs, and the options of each.
// devmemctl_options.cc reads a command line by them, and makes the help from them. Static data.

#pragma once

#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "tools/devmemctl_options.h"

namespace devmem {

// An option, or a word that is known by its place.
struct OptionWords {
  absl::string_view spelling;  // "--bytes"; "PROVIDER" for a word by its place.
  absl::string_view value;  // What the help calls the value; empty: a flag, or a word by its place.
  absl::string_view help;
  // Takes the value into the options, or says what is wrong with it. A flag's value is empty.
  absl::Status (*set)(const std::string& value, DevmemctlOptions* options);
  bool required = false;
};

struct VerbWords {
  absl::string_view verb;  // Empty for an object that is its own verb.
  absl::string_view help;
  DevmemctlCommand command;
  std::span<const OptionWords> options;
};

struct ObjectWords {
  absl::string_view name;
  absl::string_view help;
  absl::string_view footer;
  std::span<const VerbWords> verbs;
  // Without a verb, the first one is meant: it only looks.
  bool verb_optional = true;
};

// Each file of words brings its objects.
std::span<const ObjectWords> MemoryObjects();  // provider, topo, region
std::span<const ObjectWords> LookObjects();    // doctor, netdev, napi, page-pool, stats, monitor

std::span<const ObjectWords> ChangeObjects();  // queue, rule, setup, restore

// All of them, in the order of the help.
std::vector<const ObjectWords*> AllObjects();

// iproute2's spellings (-json, -jp, help), in ours. "help" is one only where an object or a verb
// may stand.
std::vector<std::string> TranslateWords(int argc, const char* const* argv);

// Writes object and verb out, and puts in the verb that was left out. Errors: kInvalidArgument for
// words that there are not, or that are not clear.
absl::Status ExpandWords(std::vector<std::string>* arguments);

}  // namespace devmem
