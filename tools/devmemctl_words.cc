// SPDX-License-Identifier: Apache-2.0
//
// See devmemctl_words.h.

#include "tools/devmemctl_words.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace devmem {
namespace {

bool IsOption(absl::string_view word) { return !word.empty() && word[0] == '-'; }

// The one of `words` that `word` begins, or is.
absl::StatusOr<absl::string_view> Complete(absl::string_view what, absl::string_view word,
                                           const std::vector<absl::string_view>& words) {
  std::vector<absl::string_view> found;
  for (const absl::string_view candidate : words) {
    if (candidate == word) return candidate;
    if (!word.empty() && candidate.substr(0, word.size()) == word) found.push_back(candidate);
  }
  if (found.size() == 1) return found[0];
  return absl::InvalidArgumentError(
      found.empty() ? absl::StrCat("no ", what, " is called \"", word, "\"; there are ",
                                   absl::StrJoin(words, ", "))
                    : absl::StrCat("\"", word, "\" is ambiguous: ", absl::StrJoin(found, ", ")));
}

// Where the next word that is none of the options without a value stands.
size_t SkipFlags(const std::vector<std::string>& arguments, size_t at) {
  constexpr std::array<absl::string_view, 4> kFlags = {"-j", "-p", "--json", "--pretty"};
  while (at < arguments.size() &&
         std::find(kFlags.begin(), kFlags.end(), arguments[at]) != kFlags.end()) {
    ++at;
  }
  return at;
}

std::vector<absl::string_view> VerbNames(const ObjectWords& object) {
  std::vector<absl::string_view> names;
  for (const VerbWords& verb : object.verbs) names.push_back(verb.verb);
  return names;
}

absl::Status ExpandVerb(const ObjectWords& object, size_t at, std::vector<std::string>* arguments) {
  const std::string word = at < arguments->size() ? (*arguments)[at] : "";
  if (word == "--help" || word == "-h") return absl::OkStatus();
  const std::vector<absl::string_view> names = VerbNames(object);
  if (names.front().empty()) return absl::OkStatus();
  if (word.empty() || IsOption(word)) {
    if (!object.verb_optional) {
      return absl::InvalidArgumentError(
          absl::StrCat(object.name, " needs a verb: ", absl::StrJoin(names, ", ")));
    }
    arguments->insert(arguments->begin() + static_cast<ptrdiff_t>(at), std::string(names.front()));
    return absl::OkStatus();
  }
  const auto verb = Complete("verb", word, names);
  if (!verb.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(object.name, ": ", verb.status().message()));
  }
  (*arguments)[at] = std::string(*verb);
  return absl::OkStatus();
}

}  // namespace

std::vector<const ObjectWords*> AllObjects() {
  std::vector<const ObjectWords*> objects;
  for (const auto& part : {LookObjects(), ChangeObjects(), MemoryObjects()}) {
    for (const ObjectWords& object : part) objects.push_back(&object);
  }
  return objects;
}

std::vector<std::string> TranslateWords(int argc, const char* const* argv) {
  std::vector<std::string> arguments;
  size_t words = 0;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "-json") {
      arguments.emplace_back("--json");
    } else if (word == "-pretty") {
      arguments.emplace_back("--pretty");
    } else if (word == "-jp" || word == "-pj") {
      arguments.insert(arguments.end(), {"-j", "-p"});
    } else if (word == "help" && words < 2) {
      arguments.emplace_back("--help");
    } else {
      arguments.push_back(word);
    }
    if (!IsOption(word)) ++words;
  }
  return arguments;
}

absl::Status ExpandWords(std::vector<std::string>* arguments) {
  const std::vector<const ObjectWords*> objects = AllObjects();
  std::vector<absl::string_view> names;
  for (const ObjectWords* const object : objects) names.push_back(object->name);
  const size_t object_at = SkipFlags(*arguments, 0);
  if (object_at == arguments->size()) {
    return absl::InvalidArgumentError(absl::StrCat("name an object: ", absl::StrJoin(names, ", ")));
  }
  if (IsOption((*arguments)[object_at])) return absl::OkStatus();  // --help, or CLI11's to refuse.
  const auto name = Complete("object", (*arguments)[object_at], names);
  if (!name.ok()) return name.status();
  (*arguments)[object_at] = std::string(*name);
  const ObjectWords& object = **std::find_if(objects.begin(), objects.end(),
                                             [&](const auto* o) { return o->name == *name; });
  return ExpandVerb(object, SkipFlags(*arguments, object_at + 1), arguments);
}

}  // namespace devmem
