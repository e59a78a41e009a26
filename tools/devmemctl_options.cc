// SPDX-License-Identifier: Apache-2.0
//
// Completes abbreviated words, then reads the command line with CLI11 and judges values with
// parse_values.h. Of devmemctl's files only this one pays for CLI11.

#include "tools/devmemctl_options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "provider/limits.h"
#include "provider/provider.h"
#include "tools/devmemctl_output.h"
#include "tools/exit_codes.h"
#include "tools/parse_values.h"

namespace devmem {
namespace {

constexpr char kDescription[] = "devmemctl: looks at device memory, and at where it is.\n";

constexpr char kFooter[] =
    R"(Objects and verbs may be abbreviated as far as they stay clear: `devmemctl p p` is
`devmemctl provider probe`. -j and -p may stand anywhere.

Exit status:
  0  done
  1  the command line is wrong
  2  it was understood, and refused or failed
  3  a part of it was done
  4  this machine lacks what it needs
With -j, an error is {"error": {"kind", "code", "message"}} on stdout.
)";

constexpr char kProviderFooter[] = R"(Examples:
  devmemctl provider                  # the names, one a line
  devmemctl provider probe            # each one: usable, or exactly why not
  devmemctl -j provider probe cuda    # one of them, as JSON; exit 4 where it is not usable
)";

constexpr char kTopoFooter[] = R"(Examples:
  devmemctl topo                      # this machine
  devmemctl -j -p topo                # the same as JSON
  devmemctl topo --xml FILE           # another one, saved there by `lstopo --whole-io FILE`
)";

constexpr char kRegionFooter[] =
    R"(Allocates a region, attaches to it, writes a pattern, reads it back, asks where it lies,
passes the handle on, moves, evicts, revokes and removes it, and prints what happened. What a kind
of memory does not promise must be refused, and that is checked too.

Examples:
  devmemctl region test memfd
  devmemctl region test memfd --kind movable --bytes 64M
  devmemctl -j region test cuda --device 0000:17:00.0
)";

// A word of the command line and what it can be followed by. Without a verb, the first is meant,
// where `verb_optional`.
struct ObjectWords {
  absl::string_view name;
  std::span<const absl::string_view> verbs;
  bool verb_optional;
};
constexpr std::array<absl::string_view, 2> kProviderVerbs = {"list", "probe"};
constexpr std::array<absl::string_view, 1> kTopoVerbs = {"show"};
constexpr std::array<absl::string_view, 1> kRegionVerbs = {"test"};
constexpr std::array<ObjectWords, 3> kObjects = {{{"provider", kProviderVerbs, true},
                                                  {"topo", kTopoVerbs, true},
                                                  {"region", kRegionVerbs, false}}};

constexpr std::array<absl::string_view, 3> kKindWords = {"pinned", "revocable", "movable"};
constexpr std::array<AttachmentKind, 3> kKinds = {
    AttachmentKind::kPinned, AttachmentKind::kMayRevoke, AttachmentKind::kMayMove};

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

// Writes object and verb out, and puts in the verb that was left out.
absl::Status ExpandWords(std::vector<std::string>* arguments) {
  const size_t object_at = SkipFlags(*arguments, 0);
  if (object_at == arguments->size()) {
    return absl::InvalidArgumentError("name an object: provider, topo or region");
  }
  if (IsOption((*arguments)[object_at])) return absl::OkStatus();  // --help, or CLI11's to refuse.
  std::vector<absl::string_view> names;
  for (const ObjectWords& object : kObjects) names.push_back(object.name);
  const auto object_name = Complete("object", (*arguments)[object_at], names);
  if (!object_name.ok()) return object_name.status();
  (*arguments)[object_at] = std::string(*object_name);
  const ObjectWords& object = *std::find_if(kObjects.begin(), kObjects.end(),
                                            [&](const auto& o) { return o.name == *object_name; });

  const size_t verb_at = SkipFlags(*arguments, object_at + 1);
  const std::string word = verb_at < arguments->size() ? (*arguments)[verb_at] : "";
  if (word == "--help" || word == "-h") return absl::OkStatus();
  if (word.empty() || IsOption(word)) {
    if (!object.verb_optional) {
      return absl::InvalidArgumentError(
          absl::StrCat(object.name, " needs a verb: ", absl::StrJoin(object.verbs, ", ")));
    }
    arguments->insert(arguments->begin() + static_cast<ptrdiff_t>(verb_at),
                      std::string(object.verbs[0]));
    return absl::OkStatus();
  }
  const auto verb = Complete("verb", word, {object.verbs.begin(), object.verbs.end()});
  if (!verb.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(object.name, ": ", verb.status().message()));
  }
  (*arguments)[verb_at] = std::string(*verb);
  return absl::OkStatus();
}

// iproute2's spellings, in ours. "help" is one only where an object or a verb may stand.
std::vector<std::string> Translate(int argc, const char* const* argv) {
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

// One for each level: CLI11 lets levels share one, and what they call the next level differs.
std::shared_ptr<CLI::Formatter> MakeFormatter(const std::string& next_level) {
  auto formatter = std::make_shared<CLI::Formatter>();
  formatter->column_width(28);
  formatter->label("SUBCOMMAND", next_level);
  return formatter;
}

CLI::App* AddObject(CLI::App* root, const std::string& name, const std::string& help,
                    const std::string& footer) {
  CLI::App* const app = root->add_subcommand(name, help)->group("Objects");
  app->formatter(MakeFormatter("VERB"));
  app->footer(footer)->require_subcommand(1);
  return app;
}

CLI::App* AddCommand(CLI::App* object, const std::string& verb, const std::string& help,
                     DevmemctlCommand command, DevmemctlOptions* o) {
  CLI::App* const app = object->add_subcommand(verb, help)->group("Verbs");
  app->callback([o, command] { o->command = command; });
  return app;
}

void AddProvider(CLI::App* root, DevmemctlOptions* o) {
  CLI::App* const object = AddObject(root, "provider", "Kinds of device memory", kProviderFooter);
  AddCommand(object, "list", "Print the names of all providers", DevmemctlCommand::kProviderList,
             o);
  CLI::App* const probe =
      AddCommand(object, "probe", "Say which providers are usable here, and why the others are not",
                 DevmemctlCommand::kProviderProbe, o);
  probe->add_option("NAME", o->provider, "Only this provider")->type_name("");
}

void AddTopo(CLI::App* root, DevmemctlOptions* o) {
  CLI::App* const object =
      AddObject(root, "topo", "How far NICs and device memory are from one another", kTopoFooter);
  CLI::App* const show =
      AddCommand(object, "show", "Print the matrix", DevmemctlCommand::kTopoShow, o);
  show->add_option("--xml", o->xml_path, "Look at the machine that hwloc saved in this file")
      ->type_name("FILE");
  show->add_option("--synthetic", o->synthetic,
                   "Look at a machine in hwloc's notation: \"package:2 [numa] core:8 pu:2\"")
      ->type_name("TEXT");
}

void AddRegion(CLI::App* root, DevmemctlOptions* o) {
  CLI::App* const object = AddObject(root, "region", "Memory from a provider", kRegionFooter);
  CLI::App* const test = AddCommand(object, "test", "Prove that a provider's memory works",
                                    DevmemctlCommand::kRegionTest, o);
  test->add_option("PROVIDER", o->provider, "A name from `devmemctl provider list`")
      ->required()
      ->type_name("");
  const auto bytes = [o](const std::string& text) {
    const auto parsed = ParseBytes(text, {"--bytes", kSmallPageBytes, kRegionBytesMax, "bytes"});
    if (!parsed.ok()) throw CLI::ParseError(std::string(parsed.status().message()), kCtlUsage);
    o->region_bytes = *parsed;
  };
  test->add_option_function<std::string>("--bytes", bytes, "Size of the region; 16M if not given")
      ->type_name("BYTES");
  const auto kind = [o](const std::string& text) {
    const auto parsed = ParseChoice(text, "--kind", kKindWords);
    if (!parsed.ok()) throw CLI::ParseError(std::string(parsed.status().message()), kCtlUsage);
    o->kind = kKinds[*parsed];
  };
  test->add_option_function<std::string>(
          "--kind", kind, "What the exporter promises about the memory; pinned if not given")
      ->type_name("pinned|revocable|movable");
  test->add_option("--device", o->device, "Which of the provider's devices; the first if not given")
      ->type_name("DEVICE");
}

// The help of the innermost command that was named.
std::string HelpFor(const CLI::App& root) {
  const CLI::App* app = &root;
  std::string path = "devmemctl";
  while (!app->get_subcommands().empty()) {
    app = app->get_subcommands().front();
    path += " " + app->get_name();
  }
  std::string help = app->help(app == &root ? "" : path.substr(0, path.rfind(' ')));
  help.erase(help.find_last_not_of('\n') + 1);
  return help + "\n";
}

void Parse(std::vector<std::string> arguments, DevmemctlOptions* options,
           DevmemctlCommandLine* result) {
  CLI::App app(kDescription, "devmemctl");
  app.formatter(MakeFormatter("OBJECT VERB"));
  app.footer(kFooter)->fallthrough()->require_subcommand(1);
  app.add_flag("-j,--json", options->json, "Print JSON");
  app.add_flag("-p,--pretty", options->pretty, "Print JSON over several lines");
  app.set_version_flag("-V,--version", std::string("devmemctl ") + DEVMEM_VERSION,
                       "Print the version");
  AddProvider(&app, options);
  AddTopo(&app, options);
  AddRegion(&app, options);
  // Each level passes on what belongs to the whole.
  for (CLI::App* const object : app.get_subcommands({})) {
    object->fallthrough();
    for (CLI::App* const verb : object->get_subcommands({})) verb->fallthrough();
  }
  try {
    // CLI11 takes them from the back.
    std::reverse(arguments.begin(), arguments.end());
    app.parse(std::move(arguments));
  } catch (const CLI::CallForVersion& version) {
    result->output = absl::StrCat(version.what(), "\n");
  } catch (const CLI::Success&) {
    result->output = HelpFor(app);
  } catch (const CLI::ParseError& error) {
    result->error = error.what();
  }
}

// How a refusal is told must be known before the rest is.
bool HasFlag(const std::vector<std::string>& arguments, absl::string_view letter,
             absl::string_view name) {
  return std::any_of(arguments.begin(), arguments.end(),
                     [=](const std::string& word) { return word == letter || word == name; });
}

}  // namespace

DevmemctlCommandLine ParseDevmemctlCommandLine(int argc, const char* const* argv) {
  DevmemctlCommandLine result;
  DevmemctlOptions options;
  std::vector<std::string> arguments = Translate(argc, argv);
  options.json = HasFlag(arguments, "-j", "--json");
  options.pretty = HasFlag(arguments, "-p", "--pretty");
  const absl::Status expanded = ExpandWords(&arguments);
  if (expanded.ok()) {
    Parse(std::move(arguments), &options, &result);
  } else {
    result.error = std::string(expanded.message());
  }
  if (!options.xml_path.empty() && !options.synthetic.empty()) {
    result.error = "--xml and --synthetic name two machines: look at one of them";
  }
  if (!result.error.empty()) {
    const absl::string_view hint = options.json ? "" : "\nTry devmemctl --help";
    CommandOutcome refused =
        Refuse(options, kCtlUsage, absl::InvalidArgumentError(absl::StrCat(result.error, hint)));
    result.output = std::move(refused.output);
    result.error = std::move(refused.error);
    result.exit_code = kCtlUsage;
  } else if (result.output.empty()) {
    result.options = std::move(options);
  }
  return result;
}

}  // namespace devmem
